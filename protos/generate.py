"""Generates the protobuf modules beside their .proto files.

The directory path of a .proto file is its protobuf package is its Python package, so nothing has to
be rewritten. One exception: the Open Inference Protocol in ``hanse/api/inference`` keeps its published
package ``inference`` and is generated onto a private descriptor pool, because any other stub of that
protocol in the same process (tritonclient, kserve) would otherwise make the import fail with
"duplicate symbol".

Usage: ``python protos/generate.py [--check]``; ``--check`` exits 1 when the committed files differ.
"""

import importlib.resources
import os
import shutil
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PRIVATE_POOL = Path("hanse/api/inference")


def generate(out: Path) -> None:
    """Writes every generated module below ``out``."""
    protos = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    well_known = str(importlib.resources.files("grpc_tools") / "_proto")
    # protoc looks for its mypy plugins on PATH; they are installed beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    flags = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *flags, *protos]) != 0:
        raise SystemExit("protoc failed")
    for module in out.rglob("*_pb2.py"):
        if module.parent == out / PRIVATE_POOL:
            text = module.read_text()
            module.write_text(text.replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"))


def main() -> None:
    """Generates in place, or compares with what is committed."""
    check = "--check" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        generate(out)
        stale = []
        for path in sorted(out.rglob("*_pb2*.py*")):
            target = ROOT / path.relative_to(out)
            if not target.exists() or target.read_bytes() != path.read_bytes():
                stale.append(str(target.relative_to(ROOT)))
                if not check:
                    shutil.copyfile(path, target)
    for name in stale:
        print(f"{'differs' if check else 'written'}: protos/{name}")
    if check and stale:
        raise SystemExit("Generated protobuf modules are not those of the .proto files: run `make proto`.")


if __name__ == "__main__":
    main()
