"""What pyproject.toml cannot say: how the native engine is built.

It is optional: where it does not compile, edge-phi installs without it, and `edge-phi doctor` says so. The library is
no Python module but plain C behind ctypes, so one wheel serves every version of Python.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FOLDER = Path("edge_phi/runtimes/native")

# Nothing may be fused or reordered that the code does not fuse itself: logits are the same bits on every processor. No
# instruction set is named: each kernel file chooses its own, and is only run where the processor has it.
UNIX_FLAGS = [
    *("-std=c++17", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden", "-pthread"),
    "-Wno-maybe-uninitialized",  # GCC 12 warns of its own AVX-512 header
]
FLAGS = {"msvc": ["/std:c++17", "/O2", "/EHsc"]}


class BuildEngine(build_ext):
    """Builds a library that is named the same everywhere and exports what its own sources say."""

    def get_ext_filename(self, fullname: str) -> str:
        """Where the library goes, from the root of the packages."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """None beyond those declared in the sources: there is no module to initialize."""
        return list(ext.export_symbols)

    def build_extension(self, ext: Extension) -> None:
        """Compile with the flags of this compiler."""
        ext.extra_compile_args = FLAGS.get(self.compiler.compiler_type, UNIX_FLAGS)
        super().build_extension(ext)


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:
        """As in "py3-none-linux_x86_64"."""
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            "edge_phi.runtimes.native.engine",
            sources=sorted(path.as_posix() for path in FOLDER.glob("*.cpp")),
            depends=sorted(path.as_posix() for path in FOLDER.glob("*.h")),
            language="c++",
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildEngine, "bdist_wheel": PlatformWheel},
)
