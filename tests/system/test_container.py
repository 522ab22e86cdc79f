"""slurm/ganymede.def is of Apptainer's form, takes what the tree builds from, and runs what the README tells. It builds
nothing: that takes Apptainer, and network."""

import re
import subprocess

from ganymede_runs import ENVIRONMENT, PROGRAM, ROOT

DEFINITION = ROOT / "slurm/ganymede.def"
# Those of Apptainer's definition files.
SECTIONS = {"setup", "files", "environment", "post", "runscript", "startscript", "test", "labels", "help", "arguments"}


def parts():
    """The header's keywords, and the lines of each section."""
    header, sections, lines = {}, {}, None
    for line in DEFINITION.read_text().splitlines():
        if found := re.match(r"%(\w+)\s*$", line):
            assert found[1] in SECTIONS and found[1] not in sections, line
            lines = sections[found[1]] = []
        elif lines is not None:
            lines.append(line)
        elif line and not line.startswith("#"):
            key, value = re.fullmatch(r"(\w+): (\S+)", line).groups()
            header[key] = value
    return header, sections


def test_header():
    assert parts()[0] == {"Bootstrap": "docker", "From": "debian:12"}


def test_takes_every_room_that_the_program_is_built_from():
    pairs = [line.split() for line in parts()[1]["files"] if line.strip()]
    assert all((ROOT / source).exists() and there == f"/opt/ganymede/{source}" for source, there in pairs), pairs
    rooms = re.findall(r"(?m)^add_subdirectory\((\w+)\)", (ROOT / "CMakeLists.txt").read_text())
    assert rooms and set(rooms) <= {source for source, _ in pairs}


def test_scripts_are_sound():
    for name in ("environment", "post", "runscript", "test"):
        script = "\n".join(parts()[1][name])
        done = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0, (name, done.stderr)


def test_builds_as_the_quickstart_does():
    quickstart = (ROOT / "launch/quickstart.sh").read_text()
    for command in ("launch/setup.sh --cpu", "cmake --preset cpu -DGANYMEDE_TESTS=OFF",
                    "cmake --build --preset cpu --target ganymede"):
        assert f"    {command}" in parts()[1]["post"] and command in quickstart, command


def test_what_is_installed_runs_by_the_runscript(tmp_path):
    build = str(ROOT / "build/cpu") if PROGRAM.startswith(str(ROOT)) else PROGRAM.rpartition("/")[0]
    subprocess.run(["cmake", "--install", build, "--prefix", str(tmp_path)], check=True, capture_output=True, timeout=120)
    for section, arguments in (("runscript", ["models"]), ("test", [])):
        script = "\n".join(parts()[1][section]).replace("/usr/local/", f"{tmp_path}/")
        done = subprocess.run(["sh", "-ec", script, "sh", *arguments], capture_output=True, text=True, timeout=120, env=ENVIRONMENT)
        assert done.returncode == 0 and "biggan-digits" in done.stdout, done.stderr
