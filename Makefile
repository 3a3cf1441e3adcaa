# Each line below is an ordinary Python command: without make, type what stands behind the tab.
PYTHON ?= python3
VENV := $(if $(filter Windows_NT,$(OS)),.venv/Scripts/python,.venv/bin/python)
PORT ?= 8000
NB ?=
PROFILE ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help book test run full bench lab serve repository clean

help:
	@echo 'make book                         build the book and say which file to open'
	@echo 'make test  [ARGS="-k dcgan"]      build it and prove it: every test, ARGS go to pytest'
	@echo 'make run   [NB=05] [PROFILE=quick|full]   execute one notebook, or all, and stamp it'
	@echo 'make full  [ARGS=--list]          execute all notebooks in full, in order; says how long first'
	@echo 'make bench [ARGS="frechet"]         time the library against its peers, in one run'
	@echo 'make lab                          open the notebooks in JupyterLab'
	@echo 'make serve [PORT=8000]            serve the built book on this machine'
	@echo 'make repository URL=https://...   point the book at your fork'
	@echo 'make clean                        remove what was built (not .venv, not runs/)'
	@echo 'PYTHON=python3.12 chooses the Python that .venv is made with (3.11 or newer).'

book:
	@$(PYTHON) tools/setup.py book
	@$(VENV) tools/build_book.py

test:
	@$(PYTHON) tools/setup.py test
	@$(VENV) -m pytest $(ARGS)

run:
	@$(PYTHON) tools/setup.py lab
	@$(VENV) tools/run_notebook.py $(NB) $(if $(PROFILE),--profile $(PROFILE))

full:
	@$(PYTHON) tools/setup.py lab
	@$(VENV) tools/full_run.py $(ARGS)

bench:
	@$(PYTHON) tools/setup.py test
	@$(VENV) -m benchmarks $(ARGS)

lab:
	@$(PYTHON) tools/setup.py lab
	@$(VENV) -m jupyterlab --notebook-dir=book

serve:
	@test -f _build/html/index.html || { echo 'gancourse: there is no book yet: run `make book` first'; exit 1; }
	@echo 'http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)'
	@$(VENV) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

repository:
	@$(PYTHON) tools/repository.py $(URL)

clean:
	@$(PYTHON) -c "import shutil; [shutil.rmtree(p, ignore_errors=True) for p in ('_build', '.pytest_cache', '.mypy_cache', '.ruff_cache')]"
