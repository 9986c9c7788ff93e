"""Which engine runs a model: llama.cpp a GGUF file, vLLM a Hugging Face folder. Imports the one that is needed."""

from __future__ import annotations

from pathlib import Path

from serve.engine import Engine, Sampling
from serve.model_file import ModelFile, read_model_file
from serve.model_folder import read_model_folder
from serve.settings import ServeSettings


def read_model(path: Path) -> ModelFile:
    """What the model says of itself, without loading it.

    Raises:
        ModelFileError: it is missing, damaged, or no language model.
    """
    return read_model_folder(path) if path.is_dir() else read_model_file(path)


def load_engine(path: Path, settings: ServeSettings) -> Engine:
    """Load the model at `path`, and warm it up: the first prompt takes several times as long as those after it.

    Raises:
        ModelFileError: it is missing, damaged, or no language model.
        EngineError: the engine refuses it.
    """
    file = read_model(path)
    engine: Engine
    if path.is_dir():
        from serve.vllm_engine import VllmEngine

        engine = VllmEngine(file, settings)
    else:
        from serve.llama_cpp_engine import LlamaCppEngine

        engine = LlamaCppEngine(file, settings)
    engine.generate(engine.tokenize("fn"), Sampling(max_tokens=1, temperature=0.0), lambda _: True)
    return engine
