#!/usr/bin/env python3
"""localstack/compose.yaml, as far as it can be told without docker: its services, versions and paths are those there are."""

import json
import re
import sys
from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parents[2]
DIR = REPO / "localstack"


def main():
    services = yaml.safe_load((DIR / "compose.yaml").read_text())["services"]
    pins = dict(line.split("==") for line in (REPO / "test/services/requirements-ministack.txt").read_text().split() if "==" in line)
    node = json.loads((REPO / "package.json").read_text())["devDependencies"]["node"]
    images = {name: service["image"].split(":") for name, service in services.items()}
    expected = {"ministack": pins["ministack"], "poller": f"{node}-bookworm-slim", "topics": images["redpanda"][-1]}
    complaints = [f"{name}: expected version {version}, found {images[name]}" for name, version in expected.items() if images[name][-1] != version]
    complaints += [f"{name}: expected an exact version, found {image}" for name, image in images.items() if not re.search(r"\d+\.\d+\.\d+", image[-1])]
    by_default = (DIR / ".env").read_text().split("COMPOSE_PROFILES=")[1].split()[0]
    for name, service in services.items():
        profiles = service.get("profiles", [by_default])
        if by_default in profiles and "TOKEN" in json.dumps(service):
            complaints.append(f"{name}: wants a token, and is there by default")
        complaints += [f"{name}: depends on {other}, which is no service" for other in service.get("depends_on", {}) if other not in services]
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not (DIR / source).exists():
                complaints.append(f"{name}: mounts {source}, which is not there")
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                complaints.append(f"{name}: port {port} is open to others")
    command = services["poller"]["command"]
    if not (REPO / command[1]).exists():
        complaints.append(f"poller: runs {command[1]}, which is not there")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"compose.yaml: {len(services)} services, {len(complaints)} complaints")
    return not complaints


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
