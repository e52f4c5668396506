"""Lets PyPI's torch for Linux, a CUDA build, run on the CPU without the gigabytes of CUDA that it links to.

usage: python bench/torch_without_cuda.py     (in the environment that torch was installed into, without dependencies)

Beside torch's own libraries it puts a stand-in for each that is missing, holding only the names that are asked for, all
at address 0: the loader is satisfied, and on a CPU nothing calls them. Needs gcc and binutils. Where nothing is missing
(macOS, a CPU build, all of CUDA installed) it does nothing. libcudart and libcupti, small and called, have to be real.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# Names' versions where they are not the library's own name.
VERSIONS = {"libnvshmem_host.so.3": "NVSHMEM"}


def missing(library):
    """The libraries that the loader does not find for this one."""
    said = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE))


def names(library, which):
    """(name, version) of what a library defines or wants; version "" where there is none."""
    said = subprocess.run(["nm", "-D", f"--{which}-only", library], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r" \w (\w+)(?:@@?(\S+))?$", said, re.MULTILINE))


def main():
    if sys.platform != "linux":
        return
    lib = Path(importlib.util.find_spec("torch").origin).parent / "lib"
    own = sorted(lib.glob("libtorch*.so"))
    absent = sorted(set().union(*map(missing, own)))
    if not absent:
        return
    wanted = set().union(*(names(library, "undefined") for library in own))
    wanted -= set().union(*(names(library, "defined") for library in lib.glob("lib*.so*")))
    with tempfile.TemporaryDirectory() as folder:
        for library in absent:
            version = VERSIONS.get(library, library)
            mine = sorted(name for name, of in wanted if of == version)
            script, versions = Path(folder) / "names.ld", Path(folder) / "versions"
            versions.write_text(f"{version} {{ *; }};\n")
            options = [f"-Wl,--version-script={versions}"]
            if not mine:
                # A maker who does not version names: nobody can tell whose they are, so each has all of them.
                mine = sorted(name for name, of in wanted if not of and not name.startswith(("_", "Py")))
                options = []
            script.write_text("".join(f"{name} = 0;\n" for name in mine))
            command = ["gcc", "-shared", "-x", "c", "/dev/null", "-x", "none", script, f"-Wl,-soname,{library}"]
            subprocess.run([*command, *options, "-o", lib / library], check=True)
    print(f"{lib}: stand-ins for {', '.join(absent)}")


if __name__ == "__main__":
    main()
