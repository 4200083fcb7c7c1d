"""Factories of this very package: code that is installed already, so that opening weights with one needs no ``--trust``.

Only these exact names: ``wdist.some.module:anything`` could reach what a module has imported. Shadowing is no way in either: this
package is imported by now, and its modules are looked up in its own folder.
"""

OWN_FACTORIES = frozenset({"wdist.gan.generators:image_generator"})
