"""Names of files in a figure."""


def drawable(name: str) -> str:
    """The same name where nothing of it is formula, and where characters that no font has are shown as a question mark."""
    visible = "".join(character if character.isprintable() else "?" for character in name)
    return visible.replace("$", r"\$")
