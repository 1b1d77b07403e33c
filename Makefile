# Every target does its own set-up in .venv; a second run reuses it.
PYTHON ?= python3
BIN := .venv/bin
COMFYUI := $(shell $(PYTHON) -c 'import sys; sys.path.insert(0, "engines/comfyui"); \
	from location import find_comfyui; print(find_comfyui() or "")')
$(if $(filter-out 0,$(.SHELLSTATUS)),$(error COMFYUI_PATH names a folder without ComfyUI))
READY := .venv/ready$(if $(COMFYUI),-with-comfyui)

NPM := $(shell command -v npm)
FRONTEND := .venv/newer-frontend

.PHONY: demo test test-fast lint lint-web docs comfyui comfy

demo: $(READY)
	$(BIN)/visage demo

# Processes of one thread each: the networks of the tests are too small to share among threads, and a
# process often waits for a server or a page. Three take up to 15 GB, two up to 10.
# tests/scheduling.py says which tests stay together, and which begin first.
PROCESSES ?= $(shell awk '/^MemTotal/ {print ($$2 > 20000000) ? 3 : 2}' /proc/meminfo 2>/dev/null || echo 2)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(PROCESSES) --dist loadscope --no-loadscope-reorder

test: lint $(FRONTEND)
	$(PYTEST) --durations 25

# The inner loop: no ComfyUI, no browser, no training, and no test of over a second.
test-fast: $(READY)
	$(PYTEST) -m "not slow" --durations 5

lint: $(READY) lint-web
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --summarize-errors

# The documentation as a site: open output/site/index.html.
docs: $(READY)
	$(BIN)/mkdocs build --strict

# The page's scripts: linter, format, and unit tests of what they compute.
ifdef NPM
lint-web: node_modules
	npm run --silent lint
	npm test --silent
else
lint-web:
	@echo "There is no npm: the scripts in web/ are not checked."
endif

node_modules: package.json
	npm install --silent
	@touch $@

# The newest frontend, beside the one that ComfyUI asks for: the browser tests run on both.
$(FRONTEND): | .venv/bin/pip
	$(BIN)/pip install --quiet --no-deps --target $@ comfyui-frontend-package

# comfy-cli only fetches ComfyUI here: the next target that finds it installs what it needs.
comfyui: .venv/bin/pip
	$(BIN)/pip install --quiet comfy-cli
	$(BIN)/comfy --skip-prompt --workspace "$(HOME)/comfy/ComfyUI" install \
		--version 0.3.64 --cpu --skip-torch-or-directml --skip-requirement

comfy: $(READY)
	@test -n "$(COMFYUI)" || { echo "No ComfyUI found: 'make comfyui' gets it."; exit 1; }
	@test "$(abspath $(COMFYUI))/custom_nodes" = "$(abspath ..)" \
		|| test -e "$(COMFYUI)/custom_nodes/visage" \
		|| ln -s "$(CURDIR)" "$(COMFYUI)/custom_nodes/visage"
	@echo "ComfyUI with Visage: http://127.0.0.1:8188 (Ctrl-C ends it)"
	$(BIN)/python "$(COMFYUI)/main.py" --listen 127.0.0.1 --port 8188 \
		$$($(BIN)/python -c 'from visage.headless.server import device_options; print(*device_options())')

.venv/ready: pyproject.toml requirements.txt | .venv/bin/pip
	@echo "Installing PyTorch, diffusers and the test tools into .venv: minutes the first time ..."
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

# torchvision and torchaudio only fit the torch they were built for, and the newest of each do not
# always meet: these three do. They go into .venv alone.
TORCH_FOR_COMFYUI := torch==2.11.0 torchvision==0.26.0 torchaudio==2.11.0

.venv/ready-with-comfyui: pyproject.toml requirements.txt $(COMFYUI)/requirements.txt | .venv/bin/pip
	@echo "Installing PyTorch and ComfyUI's requirements into .venv: minutes the first time ..."
	$(BIN)/pip install --quiet $(TORCH_FOR_COMFYUI)
	@echo "Installing Visage, diffusers and the test tools ..."
	$(BIN)/pip install --quiet --requirement "$(COMFYUI)/requirements.txt" requests --editable ".[dev]"
	@touch $@

.venv/bin/pip:
	$(PYTHON) -m venv .venv
