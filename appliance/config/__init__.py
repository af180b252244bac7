"""The file an operator writes: models, loader, mistakes.

    text --document.py--> positioned nodes --loader.py--> models.py --checks.py--> Config
                                                |                        |
                                                +---- Mistakes, all at once, each with its line ----> ConfigError

Start at `models.py` for what may be written, at `loader.py` for `load(path)` and `loads(text, name)`.
Nothing here opens a device or changes the machine.
"""
