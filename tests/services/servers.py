"""One server of each kind on the loopback, with what tests need to know of it."""

import json
import os
import secrets
from pathlib import Path

from packages import MONGOD, NATS_SERVER, WEED, Missing, Package, find
from processes import Died, Process, free_ports
from wire import S3, mongo_command, nats_answers

# A port that is free now can be another's a moment later.
ATTEMPTS = 3


class Server:
    """A server that is begun, is awaited, and has its part of the environment of tests."""

    name: str
    package: Package
    # Whoever sets this has a server already.
    variable: str
    ports: int

    def __init__(self, directory: Path):
        self.binary = find(self.package)
        self.directory = directory / self.name
        self.directory.mkdir(parents=True)
        self.log = directory / f"{self.name}.log"
        self.begin()

    def begin(self, attempt: int = 1) -> None:
        self.at = free_ports(self.ports)
        self.data = self.directory / f"data{attempt}"
        self.data.mkdir()
        self.process = Process(self.name, [self.binary, *self.arguments()], self.log)

    def finish(self) -> dict[str, str]:
        """Waits until the server serves, and answers with the environment."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.process.await_ready(self.is_ready)
                return self.environment() | {self.package.variable: self.binary}
            except Died:
                self.process.end()
                if attempt == ATTEMPTS:
                    raise
                self.begin(attempt + 1)
        raise AssertionError("the last attempt returns or raises")

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        raise NotImplementedError

    def end(self) -> None:
        self.process.end()


class Mongod(Server):
    """A replica set of one, with its primary. Failpoints are there: name an `appName`, for others use it too."""

    name, package, variable, ports = "mongod", MONGOD, "NATTER_TEST_MONGODB_URL", 1
    replica_set = "natter"

    def arguments(self) -> list[str]:
        return [
            "--dbpath", str(self.data), "--port", str(self.at[0]), "--bind_ip", "127.0.0.1", "--nounixsocket",
            "--replSet", self.replica_set, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25",
            # Else three journal files of 100 MB each are laid out before the first write.
            "--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)",
            "--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false",
        ]  # fmt: skip

    def begin(self, attempt: int = 1) -> None:
        self.initiated = False
        super().begin(attempt)

    def is_ready(self) -> bool:
        port = self.at[0]
        if not self.initiated:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            command = {"replSetInitiate": {"_id": self.replica_set, "members": members}, "$db": "admin"}
            answer = mongo_command(port, command)
            # An attempt whose answer was lost may have done it.
            self.initiated = answer["ok"] == 1.0 or answer.get("codeName") == "AlreadyInitialized"
        return bool(mongo_command(port, {"hello": 1, "$db": "admin"}).get("isWritablePrimary"))

    def environment(self) -> dict[str, str]:
        return {self.variable: f"mongodb://127.0.0.1:{self.at[0]}/?replicaSet={self.replica_set}"}


class NatsServer(Server):
    """A nats-server that wants a user and a password."""

    name, package, variable, ports = "nats-server", NATS_SERVER, "NATTER_TEST_NATS_URL", 2
    user = "natter"

    def __init__(self, directory: Path):
        self.password = secrets.token_hex(16)
        super().__init__(directory)

    def arguments(self) -> list[str]:
        # In a file, for arguments are seen by everybody on the machine.
        config = self.directory / "server.conf"
        config.touch(mode=0o600)
        config.write_text(
            f"listen: 127.0.0.1:{self.at[0]}\nhttp: 127.0.0.1:{self.at[1]}\n"
            f'authorization {{ user: {self.user}, password: "{self.password}" }}\n'
        )
        return ["--config", str(config)]

    def is_ready(self) -> bool:
        return nats_answers(self.at[0], self.user, self.password) == "PONG"

    def environment(self) -> dict[str, str]:
        return {
            self.variable: f"nats://{self.user}:{self.password}@127.0.0.1:{self.at[0]}",
            "NATTER_TEST_NATS_MONITOR_URL": f"http://127.0.0.1:{self.at[1]}",
        }


class Seaweed(Server):
    """An S3 server that knows one key, with one bucket."""

    name, package, variable, ports = "weed", WEED, "NATTER_TEST_S3_URL", 8
    bucket = "natter-test"

    def __init__(self, directory: Path):
        self.key, self.secret = secrets.token_hex(8), secrets.token_hex(20)
        super().__init__(directory)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.at[6]}"

    def arguments(self) -> list[str]:
        credentials = [{"accessKey": self.key, "secretKey": self.secret}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "natter", "credentials": credentials, "actions": actions}
        identities = self.directory / "s3.json"
        identities.touch(mode=0o600)
        identities.write_text(json.dumps({"identities": [identity]}))
        parts = ("master", "volume", "filer", "s3")
        names = [f"{part}.port{kind}" for part in parts for kind in ("", ".grpc")]
        ports = [f"-{name}={port}" for name, port in zip(names, self.at, strict=True)]
        return [
            "-logtostderr=true", "server", f"-dir={self.data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-filer=true", "-s3=true", *ports, "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false",
            f"-s3.config={identities}", "-s3.autoCreateBucket=false", "-master.telemetry=false",
            "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.max=40",
        ]  # fmt: skip

    def is_ready(self) -> bool:
        """Whether an object can be written and read: the port answers before it."""
        client = S3(self.endpoint, self.bucket, self.key, self.secret)
        client.call("PUT")
        if client.call("PUT", "ready", b"yes")[0] != 200:
            return False
        read = client.call("GET", "ready")
        return read == (200, b"yes") and client.call("DELETE", "ready")[0] == 204

    def environment(self) -> dict[str, str]:
        return {
            self.variable: f"s3://{self.bucket}",
            "NATTER_TEST_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
        }

    def end(self) -> None:
        super().end()
        # It leaves sockets here, whatever TMPDIR says.
        for port in self.at:
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)


KINDS: tuple[type[Server], ...] = (Mongod, NatsServer, Seaweed)


class Services:
    """The servers that nobody brought along. `begin` may leave some out, and tells which in `missing`."""

    # A command may have tests that need none of them.
    needs_all = False

    def __init__(self) -> None:
        self.running: list[Server] = []
        self.missing: list[str] = []

    def begin(self, directory: Path) -> None:
        for kind in KINDS:
            if os.environ.get(kind.variable):
                continue
            try:
                self.running.append(kind(directory))
            except Missing as why:
                self.missing.append(f"tests with {kind.name}: {why}")

    def finish(self) -> dict[str, str]:
        environment: dict[str, str] = {}
        for server in self.running:
            environment |= server.finish()
        return environment

    def end(self) -> None:
        for server in self.running:
            server.end()
