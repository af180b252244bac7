CLASS_NAMES: dict[int, str]
