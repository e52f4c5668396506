"""Takes out of the wheels what tch compiles against and runs on: headers and CPU libraries.

    python unpack_libtorch.py WHEELS OUT     ->  OUT/include, OUT/lib
"""

import shutil
import sys
import zipfile
from pathlib import Path

HEADERS = "torch/include/"
LIBRARIES = {
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def main():
    wheels, out = Path(sys.argv[1]), Path(sys.argv[2])
    missing = set(LIBRARIES)
    headers = 0
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name in LIBRARIES:
                    target = out / "lib" / Path(name).name
                    missing.discard(name)
                elif name.startswith(HEADERS) and not name.endswith("/"):
                    target = out / "include" / name[len(HEADERS) :]
                    headers += 1
                else:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    if missing or not headers:
        sys.exit(f"{wheels}: not in these wheels: {sorted(missing) or HEADERS}")


main()
