# make demo   pictures from the bundled model into out/, without ComfyUI
# make test   all tests; those on the real ComfyUI run where tests/support/host.py finds one
# make lint   ruff and pyright
# make tables   the tables of README.md and other documents again, from benchmarks/results/
# make pictures   those in docs/images again, from tools/make_pictures.py; needs ComfyUI and Chromium
# make translations   locales/*/ again, from the catalogues in locales/; names what is missing; needs ComfyUI
# make workflows   workflows/ again, from tools/make_workflows.py; needs ComfyUI and Chromium
# make gpu    all that is worth knowing of a GPU in 8 minutes, into benchmarks/results/gpu-*: python3 as it is, which has
#             torch and what ComfyUI's comfy/ imports; COMFYUI_PATH is the folder around comfy/, ARGS are its options
# make matrix   docs/what_works.md again, from tools/make_what_works.py: every cell is run; needs ComfyUI
# make blueprints   subgraphs/ again, from tools/make_blueprints.py; needs ComfyUI and Chromium
#
# Needs python3 (3.11 or newer), bash (on Windows that of Git) and a package index. Everything is installed into .venv,
# once per change of requirements.

SHELL := bash
PYTHON ?= python3
VENV := .venv
WINDOWS := $(filter Windows_NT,$(OS))
BIN := $(VENV)/$(if $(WINDOWS),Scripts,bin)
EXE := $(if $(WINDOWS),.exe)
UV := $(BIN)/uv$(EXE)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python$(EXE)

# COMFYUI_PATH is handed on by name: a variable given to make itself does not reach $(shell) before make 4.4.
HOST := $(shell cd tests/support && $(if $(filter-out undefined,$(origin COMFYUI_PATH)),COMFYUI_PATH='$(COMFYUI_PATH)') \
	$(PYTHON) -c "import host; print(host.HOST or '')")

.PHONY: demo test lint tables pictures translations workflows blueprints matrix gpu clean

demo: $(VENV)/demo.stamp
	mkdir -p out
	for method in multidiffusion msd; do \
		$(BIN)/python -m demo panorama --method $$method --out out/$$method.png || exit 1; \
	done
	$(BIN)/python -m demo zoom --seed 4 --out out/zoom

test: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/lint.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python$(EXE)

tables:
	$(PYTHON) -m tools.fill_tables

workflows: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	PYTHONPATH=tests:tests/support $(BIN)/python tools/make_workflows.py

translations: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	PYTHONPATH=tests:tests/support $(BIN)/python tools/translations.py

blueprints: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	PYTHONPATH=tests:tests/support $(BIN)/python tools/make_blueprints.py

matrix: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	PYTHONPATH=tests:tests/support $(BIN)/python tools/make_what_works.py

gpu:
	$(PYTHON) -m benchmarks.gpu $(ARGS)

pictures: $(if $(HOST),$(VENV)/host$(subst /,-,$(HOST)).stamp) $(VENV)/test.stamp
	PYTHONPATH=tests:tests/support $(BIN)/python tools/make_pictures.py

clean:
	rm -rf $(VENV) out

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv

$(VENV)/%.stamp: pyproject.toml | $(UV)
	$(INSTALL) --group $*
	touch $@

# What ComfyUI itself needs. torchvision and torchaudio are built for one torch: `group host` names three that fit.
$(VENV)/host-%.stamp: $(HOST)/requirements.txt pyproject.toml | $(UV)
	$(INSTALL) --group host --requirements $(HOST)/requirements.txt
	touch $@
