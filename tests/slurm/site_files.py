"""A site for tests: its file, its list of nodes, and its cli_filter.lua."""

import json


def write(folder, server, architectures, **more):
    """The environment that lets the filter use it. architectures: by
    feature."""
    folder = str(folder)
    with open(f"{folder}/site.json", "w") as file:
        json.dump(dict({
            "server": server,
            "nodes_file": f"{folder}/nodes.json",
            "features": {feature: {"architecture": name}
                         for feature, name in architectures.items()},
        }, **more), file)
    return {"PERFVEC_SLURM_SITE": f"{folder}/site.json",
            "XDG_CACHE_HOME": folder}


def write_nodes(folder, features, cpus=1, memory_mb=1000):
    """What `perfvec slurm check --write` finds on such nodes."""
    shape = {"nodes": 1, "cpus": cpus, "memory_mb": memory_mb}
    with open(f"{folder}/nodes.json", "w") as file:
        json.dump({"default_partition": "main",
                   "partitions": {"main": {f: shape for f in features}}}, file)


def write_filter(folder, source):
    """deploy/slurm's, from the source tree, which also appends the seconds
    that each hint took to hint_seconds."""
    path = f"{folder}/cli_filter.lua"
    with open(f"{source}/deploy/slurm/cli_filter.lua") as file:
        text = file.read()
    text = text.replace("/usr/share/perfvec/slurm", f"{source}/deploy/slurm")
    call = "  perfvec.pre_submit(options) -- 2\n"
    assert call in text
    text = text.replace(call, f"""
  local clock = require("socket").gettime
  local begin = clock()
{call}
  local file = io.open("{folder}/hint_seconds", "a")
  file:write(("%.6f\\n"):format(clock() - begin))
  file:close()
""")
    with open(path, "w") as file:
        file.write(text)
    return path


def hint_seconds(folder):
    with open(f"{folder}/hint_seconds") as file:
        return [float(line) for line in file]
