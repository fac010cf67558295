import subprocess
import sys

from host import ROOT

HOST_MODULES = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "server", "execution", "node_helpers"}


def test_core_never_imports_the_host():
    files = [path.relative_to(ROOT) for path in (ROOT / "core").rglob("*.py") if path.stem != "__init__"]
    modules = [".".join(path.with_suffix("").parts) for path in files]
    assert "core.methods.multiscale" in modules
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HOST_MODULES & set(run.stdout.split())
