"""Checks that a version of vLLM has the names our front relies on, with the signatures it calls them by.

    python -m tests.vllm.private_names                   # the oldest and the newest that winnow supports
    python -m tests.vllm.private_names 0.26.0 0.29.0     # these
    python -m tests.vllm.private_names --folder FOLDER   # the one whose package `vllm` lies there

A version is read from its wheel, which is downloaded without what it depends on (about 300 MB) and removed: nothing is
imported, so no GPU is needed. vLLM promises none of these names. The front calls them, and `SharedPrefix` replaces some
of them in its engine's objects.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VERSIONS: Final = ("0.24.0", "0.33.0")  # the ends of pyproject.toml's range
GLIBC: Final = (39, 35, 34, 31, 28, 27, 24, 17)
WHEEL: Final = (
    *("--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp"),
    *(f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A function, or a field of a class. `module` is below vllm."""

    module: str
    path: str  # Class.method, Class.field or function
    positional: tuple[str, ...] | None = None  # the parameters as the front passes them; None for what is no function
    named: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        return f"{self.module}: {self.path}"


def called(module: str, path: str, *positional: str, named: tuple[str, ...] = ()) -> Name:
    return Name(module=module, path=path, positional=positional, named=named)


def fields(module: str, owner: str, *names: str) -> tuple[Name, ...]:
    return tuple(Name(module=module, path=f"{owner}.{name}") for name in names)


_ATTENTION: Final = ("layer", "query", "key", "value", "kv_cache", "attn_metadata")
_WRITE: Final = ("layer", "key", "value", "kv_cache", "slot_mapping")
NAMES: Final[tuple[Name, ...]] = (
    # engine_turns.py and server.py: starting the engine
    called("engine/arg_utils", "AsyncEngineArgs.add_cli_args", "parser"),
    called("engine/arg_utils", "EngineArgs.from_cli_args", "args"),
    called("engine/arg_utils", "EngineArgs.create_engine_config", "usage_context"),
    *fields("usage/usage_lib", "UsageContext", "OPENAI_API_SERVER"),
    Name(module="utils/argparse_utils", path="FlexibleArgumentParser"),
    called("v1/executor/abstract", "Executor.get_class", "vllm_config"),
    called(
        "v1/engine/llm_engine",
        "LLMEngine.__init__",
        named=("vllm_config", "executor_class", "log_stats", "usage_context", "multiprocess_mode"),
    ),
    # engine_turns.py: what it prepares, adds, steps and aborts
    called("inputs/engine", "tokens_input", "prompt_token_ids", named=("cache_salt",)),
    Name(module="exceptions", path="VLLMValidationError"),
    *fields("pooling_params", "PoolingParams", "task", "use_activation"),
    called(
        "v1/engine/input_processor",
        "InputProcessor.process_inputs",
        *("request_id", "prompt", "params"),
        named=("supported_tasks", "arrival_time", "trace_headers"),
    ),
    called("v1/engine/input_processor", "InputProcessor.assign_request_id", "request"),
    called("v1/engine/output_processor", "OutputProcessor.add_request", "request", "prompt"),
    *fields("v1/engine/llm_engine", "LLMEngine", "engine_core", "input_processor", "output_processor"),
    *fields("v1/engine/llm_engine", "LLMEngine", "logger_manager", "model_config", "vllm_config"),
    called("v1/engine/llm_engine", "LLMEngine.step"),
    called("v1/engine/llm_engine", "LLMEngine.abort_request", "request_ids", named=("internal",)),
    called("v1/engine/llm_engine", "LLMEngine.get_supported_tasks"),
    called("v1/engine/llm_engine", "LLMEngine.get_tokenizer"),
    *fields("v1/engine/core_client", "InprocClient", "engine_core"),
    called("v1/engine/core_client", "InprocClient.shutdown"),
    called("v1/engine/core", "EngineCore.preprocess_add_request", "request"),
    called("v1/engine/core", "EngineCore.add_request", "request", "request_wave"),
    *fields("v1/engine/core", "EngineCore", "scheduler", "batch_queue"),
    *fields("config/vllm", "VllmConfig", "scheduler_config"),
    *fields("config/scheduler", "SchedulerConfig", "max_num_batched_tokens"),
    # engine_turns.py: what it replaces to deliver early, and to count what is not prepared
    called("v1/engine/core_client", "InprocClient.get_output"),
    *fields("v1/engine/__init__", "EngineCoreOutputs", "outputs"),
    *fields("v1/engine/__init__", "EngineCoreOutput", "request_id", "pooling_output"),
    called("v1/core/sched/scheduler", "Scheduler.make_stats"),
    *fields("v1/metrics/stats", "SchedulerStats", "num_waiting_reqs"),
    # engine_turns.py and server.py: steps that overlap
    *fields("engine/arg_utils", "EngineArgs", "async_scheduling", "scheduler_cls"),
    called("platforms/interface", "Platform.is_cuda_alike"),
    # step_graphs.py
    *fields("engine/arg_utils", "EngineArgs", "compilation_config", "max_num_batched_tokens"),
    *fields("config/compilation", "CompilationConfig", "cudagraph_capture_sizes", "max_cudagraph_capture_size"),
    *fields("v1/core/sched/scheduler", "Scheduler", "running", "waiting"),
    *fields("v1/request", "Request", "num_computed_tokens"),
    called("v1/request", "Request.num_tokens"),
    *fields("v1/executor/uniproc_executor", "AsyncOutputFuture", "async_output"),
    *fields("v1/worker/gpu_model_runner", "AsyncGPUPoolingModelRunnerOutput", "async_copy_ready_event"),
    called(
        "v1/metrics/loggers",
        "StatLoggerManager.record",
        named=("scheduler_stats", "iteration_stats", "mm_cache_stats"),
    ),
    # shared_prefix.py: what it reads
    *fields("v1/request", "Request", "request_id", "prompt_token_ids", "block_hashes", "cache_salt"),
    *fields("v1/request", "Request", "skip_reading_prefix_cache"),
    *fields("v1/core/sched/output", "SchedulerOutput", "total_num_scheduled_tokens"),
    *fields("v1/core/sched/scheduler", "Scheduler", "kv_cache_manager"),
    *fields("v1/core/kv_cache_manager", "KVCacheManager", "kv_cache_config", "coordinator"),
    *fields("v1/core/kv_cache_coordinator", "KVCacheCoordinator", "single_type_managers"),
    *fields("v1/kv_cache_interface", "KVCacheConfig", "kv_cache_groups"),
    *fields("config/compilation", "CompilationConfig", "static_forward_context", "cudagraph_mode", "mode"),
    called("config/compilation", "CUDAGraphMode.mixed_mode"),
    *fields("config/parallel", "ParallelConfig", "world_size"),
    *fields("config/cache", "CacheConfig", "enable_prefix_caching"),
    *fields("config/vllm", "VllmConfig", "kv_transfer_config"),
    called("config/model", "ModelConfig.get_vocab_size"),
    *fields("model_executor/layers/attention/attention", "Attention", "impl", "attn_backend", "attn_type"),
    *fields("model_executor/layers/attention/attention", "Attention", "kv_sharing_target_layer_name"),
    *fields("model_executor/layers/attention/attention", "Attention", "use_direct_call"),
    *fields("v1/attention/backends/flash_attn", "FlashAttentionMetadata", "slot_mapping"),
    *fields("v1/attention/backends/flash_attn", "FlashAttentionBackend", "forward_includes_kv_cache_update"),
    *fields("v1/attention/backends/cpu_attn", "CPUAttentionMetadata", "slot_mapping"),
    called("v1/attention/backends/flash_attn", "FlashAttentionImpl.do_kv_cache_update", *_WRITE),
    called("v1/attention/backends/cpu_attn", "CPUAttentionBackendImpl.do_kv_cache_update", *_WRITE),
    # shared_prefix.py: what it replaces, called by vLLM
    called("v1/core/kv_cache_manager", "KVCacheManager.get_computed_blocks", "request"),
    called("v1/core/kv_cache_manager", "KVCacheManager.allocate_slots", "request", "num_new_tokens"),
    called("v1/core/kv_cache_manager", "KVCacheManager.get_block_ids", "request_id"),
    called("v1/core/sched/scheduler", "Scheduler.schedule"),
    called("v1/attention/backends/flash_attn", "FlashAttentionImpl.forward", *_ATTENTION, named=("output",)),
    called("v1/attention/backends/cpu_attn", "CPUAttentionBackendImpl.forward", *_ATTENTION, named=("output",)),
)


def faults_of(read: Callable[[str], str | None]) -> list[str]:
    """Return what is missing or differs. `read` returns a file of the package `vllm`, or None."""
    sources: dict[str, ast.Module | None] = {}
    found = []
    for name in NAMES:
        if name.module not in sources:
            text = read(f"{name.module}.py")
            sources[name.module] = None if text is None else ast.parse(text)
        source = sources[name.module]
        fault = "there is no such module" if source is None else _fault(name, source)
        if fault is not None:
            found.append(f"{name.said}: {fault}")
    return found


def _fault(name: Name, source: ast.Module) -> str | None:
    owner, _, last = name.path.rpartition(".")
    scopes = [source.body] if not owner else [each.body for each in _classes(source, owner)]
    if not scopes:
        return f"there is no class {owner}"
    for scope in scopes:
        for node in scope:
            if isinstance(node, ast.FunctionDef) and node.name == last and not _is_overload(node):
                return None if name.positional is None else _wrong_signature(name, node, is_method=bool(owner))
    if name.positional is not None:
        return "there is no such function"
    is_there = any(last in _defined(node) for scope in scopes for node in scope)
    return None if is_there else "there is no such name"


def _classes(source: ast.Module, wanted: str) -> Iterator[ast.ClassDef]:
    """The class and its bases, as far as they are in the same file."""
    known = {node.name: node for node in source.body if isinstance(node, ast.ClassDef)}
    if wanted in known:
        yield known[wanted]
        for base in known[wanted].bases:
            yield from _classes(source, base.id if isinstance(base, ast.Name) else "")


def _defined(node: ast.stmt) -> set[str]:
    """Names that a statement of a class or module defines, with the fields that its functions set."""
    if isinstance(node, ast.ClassDef):
        return {node.name}
    targets: list[ast.expr] = []
    for each in ast.walk(node):
        if isinstance(each, ast.Assign):
            targets += each.targets
        elif isinstance(each, ast.AnnAssign):
            targets.append(each.target)
    is_own = not isinstance(node, ast.FunctionDef)
    fields_set = {each.attr for each in targets if isinstance(each, ast.Attribute)}
    return fields_set | {each.id for each in targets if isinstance(each, ast.Name) and is_own}


def _is_overload(node: ast.FunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)


def _wrong_signature(name: Name, node: ast.FunctionDef, *, is_method: bool) -> str | None:
    is_static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in node.decorator_list)
    places = [each.arg for each in (*node.args.posonlyargs, *node.args.args)][is_method and not is_static :]
    required = places[: len(places) - len(node.args.defaults)]
    keywords = [each.arg for each in node.args.kwonlyargs]
    required += [key for key, value in zip(keywords, node.args.kw_defaults, strict=True) if value is None]
    positional = name.positional or ()
    if tuple(places[: len(positional)]) != positional:
        return f"its parameters are {', '.join(places)}; {', '.join(positional)} are passed by position"
    unknown = [each for each in name.named if each not in (*places, *keywords)]
    if unknown and node.args.kwarg is None:
        return f"it has no parameter {', '.join(unknown)}"
    lacking = [each for each in required if each not in (*positional, *name.named)]
    # What vLLM itself calls may have more parameters: the front passes them on.
    return f"it also requires {', '.join(lacking)}" if lacking and not _is_passed_on(name) else None


def _is_passed_on(name: Name) -> bool:
    return name.path.endswith((".forward", ".allocate_slots", ".get_computed_blocks", ".schedule"))


def read_folder(folder: Path) -> Callable[[str], str | None]:
    def read(file: str) -> str | None:
        path = folder / file
        return path.read_text(encoding="utf-8") if path.is_file() else None

    return read


def faults_of_version(version: str) -> list[str]:
    """Download the wheel of this version, read it, and remove it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", *WHEEL, f"--dest={folder}", f"vllm=={version}"]
        subprocess.run(command, check=True, stdout=sys.stderr)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            files = set(opened.namelist())
            return faults_of(lambda file: opened.read(f"vllm/{file}").decode() if f"vllm/{file}" in files else None)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.folder is not None:
        results = {str(chosen.folder): faults_of(read_folder(chosen.folder / "vllm"))}
    else:
        results = {f"vllm {version}": faults_of_version(version) for version in chosen.versions}
    for what, faults in results.items():
        print(f"{what}: {len(NAMES) - len(faults)} of {len(NAMES)} names are as the front uses them")
        print(*(f"  {fault}" for fault in faults), sep="\n", end="\n" if faults else "")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
