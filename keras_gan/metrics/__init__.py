"""Scores: distances between real and generated images, as Keras metrics and as pure functions."""

from keras_gan.metrics.classes import ClassAccuracy as ClassAccuracy
from keras_gan.metrics.classes import ClassFrechetDistance as ClassFrechetDistance
from keras_gan.metrics.distances import class_score as class_score
from keras_gan.metrics.distances import frechet_distance as frechet_distance
from keras_gan.metrics.distances import kernel_distance as kernel_distance
from keras_gan.metrics.distances import precision_recall as precision_recall
from keras_gan.metrics.distances import sliced_wasserstein_distance as sliced_wasserstein_distance
from keras_gan.metrics.extractors import Extractor as Extractor
from keras_gan.metrics.extractors import get_extractor as get_extractor
from keras_gan.metrics.pairs import PSNR as PSNR
from keras_gan.metrics.pairs import SSIM as SSIM
from keras_gan.metrics.pairs import ConditionError as ConditionError
from keras_gan.metrics.pairs import PairMetric as PairMetric
from keras_gan.metrics.pairs import psnr as psnr
from keras_gan.metrics.pairs import ssim as ssim
from keras_gan.metrics.streaming import ClassScore as ClassScore
from keras_gan.metrics.streaming import FrechetDistance as FrechetDistance
from keras_gan.metrics.streaming import ImageMetric as ImageMetric
from keras_gan.metrics.streaming import KernelDistance as KernelDistance
from keras_gan.metrics.streaming import PrecisionRecall as PrecisionRecall
from keras_gan.metrics.streaming import SlicedWassersteinDistance as SlicedWassersteinDistance
