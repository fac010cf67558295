"""What the README tells people to do."""

import re

from host import ROOT

README = (ROOT / "README.md").read_text()


def test_its_table_names_every_node(server):
    named = set(re.findall(r"^\| \*\*([A-Z][\w -]+)\*\*:", README, re.MULTILINE))
    known = server.get_json("/object_info").values()
    ours = {node["display_name"].split(" (")[0] for node in known if node["category"].startswith("joint diffusion")}
    assert ours == named
