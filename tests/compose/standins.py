"""Images under the names that Dockerfile and docker-compose.yml have, made of Debian's and other packages on this machine.

Where no registry of images is reached they stand in for the real ones: the same programs at the same places, run by users of the same
numbers. What differs is told in README.md.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "services"))

from packages import MONGOD, NATS_SERVER, ROOT, WEED, find  # noqa: E402

CACHE = ROOT / "target/compose-trial"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
DEBIAN = "debian:bookworm-slim"
MONGOSH = "2.12.0"
LABEL = "natter.stand-in"
INSTALL = "RUN apt-get update && apt-get install -y --no-install-recommends"


@dataclass
class StandIn:
    """An image: the lines of its Dockerfile behind FROM, and files beside it (a name there: what is copied to it)."""

    image: str
    lines: list[str]
    files: dict[str, Path] = field(default_factory=dict)


def names() -> dict[str, str]:
    """Every image that is named, by its name without the tag."""
    text = (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    found = re.findall(r"^(?:FROM (?:--platform=\S+ )?|\s+image: )(\S+:\S+)", text, re.MULTILINE)
    return {image.rsplit(":", 1)[0]: image for image in found}


def build_all(docker: "Docker") -> None:
    image = names()
    bootstrap(docker)
    for standin in (rust(image), node(image), mongo(image), nats(image), seaweedfs(image), haproxy(image), prometheus(image)):
        build(docker, standin)


class Docker:
    """The docker command, with the daemon that it talks to."""

    def __init__(self, program: str, host: str | None):
        self.program = program
        self.environment = os.environ | ({"DOCKER_HOST": host} if host else {})

    def __call__(self, *arguments: str, stdin: object = None, **more: object) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, *arguments], env=self.environment, stdin=stdin, check=True, **more)

    def has(self, image: str) -> bool:
        found = subprocess.run([self.program, "image", "inspect", image], env=self.environment, capture_output=True, check=False)
        return found.returncode == 0

    def label(self, image: str) -> str:
        """What a stand-in was made of; nothing if it is not there."""
        command = [self.program, "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', image]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout.strip()


def bootstrap(docker: Docker) -> None:
    """The smallest Debian, as debootstrap makes it."""
    if docker.has(DEBIAN):
        return
    root = CACHE / "debian"
    shutil.rmtree(root, ignore_errors=True)
    print(f"making {DEBIAN}", flush=True)
    with (CACHE / "debootstrap.log").open("w") as log:
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(root), "http://deb.debian.org/debian"], stdout=log, check=True)
    # As in the real image: nothing that apt fetched stays.
    (root / "etc/apt/apt.conf.d/docker-clean").write_text(
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
    )
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        docker("import", "-", DEBIAN, stdin=tar.stdout, stdout=subprocess.DEVNULL)
    shutil.rmtree(root)


def build(docker: Docker, standin: StandIn) -> None:
    made_of = hashlib.sha256("\n".join(standin.lines).encode()).hexdigest()
    if docker.label(standin.image) == made_of:
        return
    print(f"making {standin.image}", flush=True)
    context = CACHE / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir(parents=True)
    for name, source in standin.files.items():
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, context / name, **({"symlinks": True} if source.is_dir() else {}))
    (context / "Dockerfile").write_text("\n".join([f"FROM {DEBIAN}", *standin.lines, ""]))
    # The classic builder: it needs nothing beside the daemon.
    docker.environment["DOCKER_BUILDKIT"] = "0"
    docker("build", "--quiet", "--label", f"{LABEL}={made_of}", "--tag", standin.image, str(context), stdout=subprocess.DEVNULL)
    shutil.rmtree(context)


def rust(image: dict[str, str]) -> StandIn:
    """The toolchain that is in use here, and whom this machine trusts."""
    version = image["rust"].split(":")[1].split("-")[0]
    told = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert told.startswith(f"rustc {version} "), f"the Dockerfile wants Rust {version}, and here is {told.strip()}"
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    lines = [
        f"{INSTALL} gcc libc6-dev ca-certificates",
        f"COPY ca.crt {AUTHORITIES}",
        "COPY bin /usr/local/rust/bin",
        "COPY lib /usr/local/rust/lib",
        "ENV PATH=/usr/local/rust/bin:$PATH CARGO_HOME=/usr/local/cargo",
        # Of this machine's configuration only the way to registries is of use there, not what it compiles with.
        f"ENV CARGO_HTTP_CAINFO={AUTHORITIES} SSL_CERT_FILE={AUTHORITIES} RUSTC_WRAPPER=",
    ]
    files = {"ca.crt": AUTHORITIES, "bin": Path(sysroot, "bin"), "lib": Path(sysroot, "lib")}
    configuration = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "config.toml")
    if configuration.is_file():
        lines, files = [*lines, "COPY config.toml /usr/local/cargo/config.toml"], files | {"config.toml": configuration}
    return StandIn(image["rust"], lines, files)


def node_lines() -> tuple[list[str], dict[str, Path]]:
    binary = Path(shutil.which("node") or "node").resolve()
    npm = Path(shutil.which("npm") or "npm").resolve().parents[1]
    lines = [
        f"COPY ca.crt {AUTHORITIES}",
        "COPY node /usr/local/bin/node",
        "COPY npm /usr/local/lib/node_modules/npm",
        "RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm",
        f"ENV NODE_EXTRA_CA_CERTS={AUTHORITIES}",
    ]
    files = {"ca.crt": AUTHORITIES, "node": binary, "npm": npm}
    if (npmrc := Path.home() / ".npmrc").is_file():
        lines, files = [*lines, "COPY npmrc /root/.npmrc"], files | {"npmrc": npmrc}
    return lines, files


def node(image: dict[str, str]) -> StandIn:
    return StandIn(image["node"], *node_lines())


def mongo(image: dict[str, str]) -> StandIn:
    """mongod of the tests, and mongosh as npm has it."""
    lines, files = node_lines()
    lines = [
        f"{INSTALL} {' '.join(MONGOD.libraries)} ca-certificates",
        *lines,
        f"RUN npm install --global --no-audit --no-fund mongosh@{MONGOSH} && rm -rf /root/.npm",
        "COPY mongod /usr/bin/mongod",
        "RUN groupadd --gid 999 mongodb && useradd --uid 999 --gid 999 mongodb && install -d -o mongodb -g mongodb /data/db",
        'CMD ["mongod"]',
    ]
    return StandIn(image["mongo"], lines, files | {"mongod": Path(find(MONGOD))})


def nats(image: dict[str, str]) -> StandIn:
    return StandIn(image["nats"], ["COPY nats-server /usr/local/bin/nats-server"], {"nats-server": Path(find(NATS_SERVER))})


def seaweedfs(image: dict[str, str]) -> StandIn:
    return StandIn(image["chrislusf/seaweedfs"], ["COPY weed /usr/bin/weed", "RUN mkdir /data"], {"weed": Path(find(WEED))})


def haproxy(image: dict[str, str]) -> StandIn:
    # Debian's user is `haproxy` as well; the image's number is 99.
    return StandIn(image["haproxy"], [f"{INSTALL} haproxy && usermod --uid 99 haproxy", "USER haproxy"])


def prometheus(image: dict[str, str]) -> StandIn:
    lines = [
        f"{INSTALL} prometheus && install -d -o nobody -g nogroup /prometheus",
        "USER nobody",
        "WORKDIR /prometheus",
        'ENTRYPOINT ["prometheus"]',
        'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]',
    ]
    return StandIn(image["prom/prometheus"], lines)
