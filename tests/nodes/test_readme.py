"""What the README tells people to do."""

import re
import subprocess
import sys

from host import ROOT
from PIL import Image

README = (ROOT / "README.md").read_text()


def test_the_client_queues_a_workflow_and_saves_the_picture(server, tmp_path):
    (client,) = (code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "urllib" in code)
    lines = [line for line in client.splitlines() if line]
    assert len(lines) <= 12
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    code = client.replace("http://127.0.0.1:8188", f"http://{server.address}")
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    assert Image.open(tmp_path / "panorama.png").size == (1024, 256)


def test_its_table_names_every_node(server):
    named = set(re.findall(r"^\| \*\*([A-Z][\w -]+)\*\*:", README, re.MULTILINE))
    known = server.get_json("/object_info").values()
    ours = {node["display_name"].split(" (")[0] for node in known if node["category"].startswith("joint diffusion")}
    assert ours == named
