#!/usr/bin/env python3
"""Installs the client library and builds docs/client_library.md's example.

usage: find_package_test.py SOURCE_DIR BUILD_DIR CMAKE GENERATOR BUILD_TYPE
"""
import pathlib
import re
import subprocess
import sys
import tempfile


def run(*command, **options):
    print("+", *command, flush=True)
    return subprocess.run([str(word) for word in command], **options)


def main():
    source, build, cmake, generator, build_type = sys.argv[1:]
    page = (pathlib.Path(source) / "docs/client_library.md").read_text()
    blocks = dict(re.findall(r"^```(cmake|cpp)\n(.*?)^```$", page, re.M | re.S))
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        prefix, project = scratch / "prefix", scratch / "project"
        run(cmake, "--install", build, "--prefix", prefix, "--component",
            "client", check=True, stdout=subprocess.DEVNULL)
        project.mkdir()
        (project / "CMakeLists.txt").write_text(blocks["cmake"])
        (project / "best_processor.cc").write_text(blocks["cpp"])
        run(cmake, "-G", generator, "-S", project, "-B", project / "build",
            f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_BUILD_TYPE={build_type}",
            check=True)
        run(cmake, "--build", project / "build", check=True)
        # No trace of that name: the library's own error, before any call.
        result = run(project / "build/best_processor", "127.0.0.1:1",
                     scratch / "no.pvt", capture_output=True, text=True)
        assert result.returncode == 1, result
        assert "NOT_FOUND" in result.stderr, result
        # The installed files name no path of this build.
        for file in prefix.rglob("*.cmake"):
            assert build not in file.read_text(), file


if __name__ == "__main__":
    main()
