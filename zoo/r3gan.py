"""R3GAN: relativistic pairs, slopes held on both sides, and networks without normalization.

Huang et al. 2025, "The GAN is dead; long live the GAN! A Modern GAN Baseline", arXiv:2501.05441.
"""

from functools import partial

from keras.optimizers import Adam

from keras_gan import networks
from keras_gan.presets import Recipe
from keras_gan.terms import R1, R2

# β₁ 0, because momentum lets the discriminator overshoot; both are those of the paper's code, whose
# β₂ starts at 0.9. With 5e-4 and a weight of 0.05, the Fréchet distance after 3 epochs was 27, with
# stripes in the samples; with these numbers 9.3, without.
adam = partial(Adam, learning_rate=1e-3, beta_1=0.0, beta_2=0.9)

recipe = Recipe(
    paper="Huang et al. 2025, arXiv:2501.05441",
    # 64 latent dimensions, and residual blocks without normalization, which would couple the
    # samples whose slopes the terms hold: section 3. Widths are 128, 64, 32 from 4×4 to 14×14; the
    # paper's code has 768 up to 32×32. A step on a CPU takes 2.2 times that of `dcgan`.
    generator=partial(networks.r3_generator, latent_dim=64, filters=32),
    discriminator=partial(networks.r3_discriminator, filters=32),
    # Equation 2.
    loss="relativistic",
    # On both sides with one weight (section 2.2), which depends on the size of the images.
    terms=lambda: [R1(0.5), R2(0.5)],
    generator_optimizer=adam,
    discriminator_optimizer=adam,
    # The paper's code has 512; less gives more updates per epoch on small data sets.
    batch_size=64,
    epochs=30,
    # Average and falling rates as in `dcgan`; the paper's code lowers its rates by a cosine.
    ema_momentum=0.999,
    decay=1 / 3,
    # No augmentation: the recipe is for full data sets, where it costs quality.
)
