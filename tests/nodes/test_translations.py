"""The pack in other languages: every text is translated, none is left over, and the front end shows it."""

import json
import re
import runpy
from types import SimpleNamespace

import pytest
from browser import front_end, why_not
from comfy_server import PACK
from host import ROOT

TOOL = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "translations.py")))
CATALOGUES = TOOL.catalogues()
LANGUAGES = {"zh", "zh-TW", "ja", "ko", "fr", "de", "es", "ru"}
NUMBER = re.compile(r"(?<![A-Za-z])\d+(?:\.\d+)?")
AGAIN = "translate it in locales/<language>.json, then `make translations`"


@pytest.fixture(scope="module")
def nodes(server):
    return {name: info for name, info in server.get_json("/object_info").items() if PACK in info["python_module"]}


@pytest.fixture(scope="module")
def texts(nodes):
    return TOOL.english(nodes)


def choices(nodes):
    """(tooltip, its choices) of every input with choices."""
    for info in nodes.values():
        for kind, *options in (info["input"].get("required", {}) | info["input"].get("optional", {})).values():
            if kind == "COMBO":
                yield options[0]["tooltip"], options[0]["options"]
            if kind == "COMFY_DYNAMICCOMBO_V3":
                yield options[0]["tooltip"], [option["key"] for option in options[0]["options"]]


def test_all_languages_are_there():
    assert CATALOGUES.keys() == LANGUAGES
    assert {path.parent.name for path in TOOL.LOCALES.glob("*/*")} == LANGUAGES


@pytest.mark.parametrize("language", CATALOGUES)
def test_nothing_is_missing_and_nothing_is_stale(texts, language):
    assert not TOOL.missing(texts, CATALOGUES[language]), AGAIN
    assert not TOOL.stale(texts, CATALOGUES[language]), AGAIN


@pytest.mark.parametrize("language", CATALOGUES)
def test_comfyui_hands_out_the_catalogue(server, texts, language):
    written = {path.name: path.read_text(encoding="utf-8") for path in (TOOL.LOCALES / language).iterdir()}
    expected = {file: TOOL.translated(tree, CATALOGUES[language]) for file, tree in texts.items()}
    assert written == {file: TOOL.as_json(tree) for file, tree in expected.items()}, AGAIN
    given = server.get_json("/i18n")[language]
    assert given == expected["main.json"] | {"nodeDefs": expected["nodeDefs.json"]}


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_translation_keeps_numbers_choices_and_names(nodes, language):
    translations = CATALOGUES[language]["texts"]
    names = [info["display_name"] for info in nodes.values()]
    assert len({translations[name] for name in names}) == len(names), "two nodes of one name"
    for text, translation in translations.items():
        assert set(NUMBER.findall(text)) <= set(NUMBER.findall(translation)), translation
        assert not re.search(r"[{}|@]", translation), f"the front end takes these for its own syntax: {translation}"
        lost = [translations[name] for name in names if name in text and translations[name] not in translation]
        assert not lost, f"{translation} speaks of {lost}"
    for tooltip, options in choices(nodes):
        told = [option for option in options if f"{option}:" in tooltip]
        assert all(option in translations[tooltip] for option in told), translations[tooltip]


def test_a_changed_text_is_missing_and_stale():
    info = {"name": "Node", "display_name": "Old name", "description": "What it does.", "category": "place"}
    info |= {"input": {"required": {"size": ["INT", {"tooltip": "How large."}]}}}
    info |= {"output": ["IMAGE"], "output_name": ["IMAGE"], "output_tooltips": ["The picture."]}
    words = ["place", "Old name", "What it does.", "How large.", "The picture."]
    catalogue = {"names": {"size": "Größe"}, "texts": {word: word.upper() for word in words}}
    texts = TOOL.english({"Node": info})
    assert (TOOL.missing(texts, catalogue), TOOL.stale(texts, catalogue)) == ([], [])
    size = {"size": {"name": "Größe", "tooltip": "HOW LARGE."}}
    assert TOOL.translated(texts, catalogue)["nodeDefs.json"]["Node"]["inputs"] == size

    info |= {"display_name": "New name", "input": {"optional": {"side": ["INT", {"tooltip": "How large."}]}}}
    texts = TOOL.english({"Node": info})
    assert TOOL.missing(texts, catalogue) == ["New name"]
    assert TOOL.stale(texts, catalogue) == ["size", "Old name"]


def test_two_texts_for_one_key_are_refused():
    options = [
        {"key": key, "inputs": {"required": {"image": ["IMAGE", {"tooltip": f"The picture to {key}."}]}}}
        for key in ("keep", "paint")
    ]
    fields = {"required": {"content": ["COMFY_DYNAMICCOMBO_V3", {"tooltip": "What to do.", "options": options}]}}
    info = {"name": "Node", "display_name": "A node", "description": "Does it.", "category": "place", "input": fields}
    info |= {"output": [], "output_name": [], "output_tooltips": []}
    with pytest.raises(ValueError, match=r"Node: content_image has two texts"):
        TOOL.english({"Node": info})


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_the_front_end_speaks_chinese(server, nodes):
    """Names, categories, fields of a choice and tooltips; the search finds a node by its Chinese name."""
    chinese = json.loads((TOOL.LOCALES / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
    latent = chinese["PanoramaLatent"]["inputs"]
    server.post("/api/settings", {"Comfy.Locale": "zh"})
    try:
        with front_end(server) as editor:
            page = editor.page
            registered = page.evaluate(
                "names => names.map(name => LiteGraph.registered_node_types[name]).map("
                "({title, category, nodeData}) => [title, category, nodeData.description])",
                list(nodes),
            )
            assert registered == [
                [chinese[name]["display_name"], "联合扩散", chinese[name]["description"]] for name in nodes
            ]

            page.evaluate("app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
            page.wait_for_function("document.activeElement.tagName === 'INPUT'")
            page.keyboard.type("全景窗口")
            page.get_by_test_id("result-item").get_by_text("全景窗口").first.wait_for()
            page.keyboard.press("Escape")

            inputs = {"width": 512, "content": "outpaint", "content.feather": 16}
            editor.build({"canvas": {"class_type": "PanoramaLatent", "inputs": inputs}})
            labels = dict(page.evaluate("app.graph.nodes[0].widgets.map(({name, label}) => [name, label])"))
            assert labels["width"] == latent["width"]["name"] == "宽度"
            assert labels["content.feather"] == latent["content_feather"]["name"] == "羽化"

            rest(page, "node.widgets.find(({name}) => name === 'width').last_y + 10", 100)
            page.locator(".node-tooltip").get_by_text(latent["width"]["tooltip"], exact=True).wait_for()
            socket = "node.inputs.findIndex(({name}) => name === 'content.image')"
            rest(page, f"node.getInputPos({socket})[1] - node.pos[1]", 8)
            page.locator(".node-tooltip").get_by_text(latent["content_image"]["tooltip"], exact=True).wait_for()
            assert not editor.complaints
    finally:
        server.post("/api/settings", {"Comfy.Locale": "en"})


def rest(page, height, left):
    """Let the pointer rest on the first node of the graph, so far from its upper left corner."""
    page.evaluate("Object.assign(app.canvas.ds, {scale: 1, offset: [400, 300]}); app.canvas.draw(true, true)")
    x, y = page.evaluate(
        f"() => {{ const node = app.graph.nodes[0]; return app.canvas.ds.convertOffsetToCanvas("
        f"[node.pos[0] + {left}, node.pos[1] + {height}]) }}"
    )
    page.mouse.move(x - 30, y - 200)
    page.mouse.move(x, y, steps=3)
