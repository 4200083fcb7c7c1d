"""Text for files that other programs read line by line."""


def one_line(text: str) -> str:
    """Without characters that end a line, or that XML does not allow."""
    return "".join(character if character.isprintable() else " " for character in text)
