"""`import keras_gan` loads only the chosen framework, and modules keep to their layers."""

import ast
import json
from pathlib import Path

import pytest
from conftest import BACKENDS, ROOT, python

FRAMEWORKS = {"tensorflow", "torch", "jax"}
# Needed only by some functions, which import them.
LATER = {"matplotlib", "PIL", "tqdm", "scipy", "huggingface_hub", "h5py", "pandas", "grain"}
LIBRARY = sorted([*ROOT.glob("keras_gan/**/*.py"), ROOT / "keras_gan_cli.py"])
ZOO = sorted(ROOT.glob("zoo/*.py"))


def loaded_by(statement, backend, folder):
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    return set(json.loads(python(backend, "-c", code, cwd=folder).splitlines()[-1]))


@pytest.mark.once
@pytest.mark.parametrize(
    "backend", ["torch", *(pytest.param(b, marks=pytest.mark.full) for b in ("jax", "tensorflow"))]
)
def test_import_loads_only_the_chosen_backend(backend, tmp_path):
    plain = loaded_by("import keras", backend, tmp_path)
    ours = loaded_by("import keras, keras_gan", backend, tmp_path)
    assert "keras_gan.gan" in ours
    assert f"keras_gan.engine.{backend}" in ours
    assert not ours & {f"keras_gan.engine.{other}" for other in {*BACKENDS} - {backend}}
    top = {name.split(".")[0] for name in ours - plain}
    assert not top & (FRAMEWORKS | LATER)
    assert not ours & {"keras_gan.cli", "keras_gan.images", "keras_gan.zoo"}


@pytest.mark.once
@pytest.mark.parametrize(
    "backend", ["jax", *(pytest.param(b, marks=pytest.mark.full) for b in ("tensorflow", "torch"))]
)
def test_loading_a_preset_loads_no_other_backend(backend, tmp_path):
    # Keras loads TensorFlow where it serializes a network, which costs seconds.
    name = "import keras, keras_gan; name = keras_gan.list_presets()[0]"
    before = loaded_by(name, backend, tmp_path)
    loaded = loaded_by(f"{name}; keras_gan.from_preset(name)", backend, tmp_path)
    assert "keras_gan.zoo" in loaded
    assert not (loaded - before) & FRAMEWORKS


@pytest.mark.once
def test_listing_models_does_not_build_any(tmp_path):
    code = "import keras_gan; print(keras_gan.list_models())"
    names = ast.literal_eval(python("jax", "-c", code, cwd=tmp_path).splitlines()[-1])
    assert {"dcgan", "lsgan", "vanilla", "wgan_gp"} <= set(names)
    assert names == sorted(names)


def imports(path, module_level=False):
    """The modules that a file imports, anywhere or outside functions."""
    tree = ast.parse(path.read_text())
    nodes = outside_functions(tree) if module_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide what is imported"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def outside_functions(node):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from outside_functions(child)


def name(path):
    return str(path.relative_to(ROOT))


def test_imports_are_found(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("if True:\n    import a.b\ndef f():\n    from c import d\n")
    assert set(imports(source)) == {"a.b", "c", "c.d"}
    assert set(imports(source, module_level=True)) == {"a.b"}


@pytest.mark.parametrize("path", LIBRARY + ZOO, ids=name)
def test_only_the_engine_imports_a_framework(path):
    tops = {module.split(".")[0] for module in imports(path)}
    if path.parent.name == "engine":
        assert len(tops & FRAMEWORKS) <= 1
    else:
        assert not tops & FRAMEWORKS


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_library_does_not_import_the_zoo(path):
    modules = set(imports(path, module_level=True))
    assert not any(m.startswith("keras_gan.zoo") or m.split(".")[0] == "zoo" for m in modules)


@pytest.mark.parametrize("path", ZOO, ids=name)
def test_zoo_imports_the_library(path):
    modules = set(imports(path))
    assert any(module.startswith("keras_gan") for module in modules)
    assert not any(module.split(".")[0] == "zoo" for module in modules)


def test_engines_have_the_same_names():
    def public(path):
        nodes = ast.parse(path.read_text()).body
        defined = {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        targets = [t for n in nodes if isinstance(n, ast.Assign) for t in n.targets]
        names = [n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        return defined | {n.id for n in names if isinstance(n.ctx, ast.Store)}

    engines = [ROOT / "keras_gan" / "engine" / f"{backend}.py" for backend in BACKENDS]
    needed = {"Trainer", "value_and_grad", "input_gradient", "apply", "normal", "uniform"}
    needed |= {"batch_norm", "device_name", "enable_compilation_cache", "free_memory", "loader"}
    needed |= {"agreed", "compiled", "device_share", "gather", "logits_and_gradient", "seed_noise"}
    needed |= {"mean_over_devices", "random_states", "set_random_states"}
    for path in [*engines, Path(engines[0]).with_name("inference.py")]:
        assert needed <= public(path), name(path)


# Documented by Python, for named tuples.
DOCUMENTED = {"_asdict", "_replace"}


def private_names(tree):
    """The names with an underscore that a file uses of objects, and all those it defines."""
    asked, defined = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)  # Also an annotation in the body of a class.
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (defined if own and isinstance(node.ctx, ast.Store) else asked).add(node.attr)
    return {n for n in asked if not n.endswith("__")}, defined


@pytest.mark.once
def test_only_the_engine_uses_what_keras_does_not_document():
    parts = {p: private_names(ast.parse(p.read_text())) for p in LIBRARY + ZOO}
    ours = set().union(*(defined for _, defined in parts.values()))
    for path, (asked, _) in parts.items():
        if "engine" not in path.parts:
            assert not asked - ours - DOCUMENTED, name(path)
            assert not any("keras.src" in module for module in imports(path)), name(path)
