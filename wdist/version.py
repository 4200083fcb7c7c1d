"""Which wdist this is."""


def package_version() -> str:
    """Of the installed package; ``unknown`` when it runs from a folder that was never installed."""
    # Imported here: it takes longer than everything else that `import wdist` does.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wdist")
    except PackageNotFoundError:
        return "unknown"
