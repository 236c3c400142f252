"""Fetching YAHPO Gym's data, from a server on this machine that can be made to fail."""

import http.server
import json
import threading

import pytest

from surrobench.benchmarks.yahpo import data as yahpo_data
from surrobench.benchmarks.yahpo import pull as yahpo_pull
from surrobench.benchmarks.yahpo.data import git_blob, pulled_folder, scenario_names
from surrobench.benchmarks.yahpo.pull import REPOSITORY, TAG, pull
from surrobench.errors import DataError, UnknownName
from tests.studies import surrobench

COMMON = ["VERSION", yahpo_data.STATISTICS, *yahpo_data.SUITES.values()]
FILES = {path: f"content of {path}\n".encode() * 500 for path in COMMON} | {
    f"{name}/{file}": f"{name} {file}\n".encode() * 900
    for name in ("one", "two")
    for file in (yahpo_data.SPACE, yahpo_data.ENCODING, yahpo_data.MODEL)
}
FILES["VERSION"] = b"VERSION:1.0.2\n"


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` as GitHub does, and fails as told."""

    daemon_threads = True

    def __init__(self):
        self.files = dict(FILES)
        self.asked, self.ranges = [], []
        self.cut = set()
        self.status = {}
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.removeprefix(f"/{REPOSITORY}/{TAG}/")
        self.server.asked.append(path)
        if self.server.status.get(path):
            self.send_error(self.server.status[path].pop())
            return
        if path.startswith("/repos"):
            blobs = [{"path": p, "type": "blob", "sha": git_blob(FILES[p])} for p in FILES]
            body = json.dumps({"tree": [*blobs, {"path": "one", "type": "tree", "sha": "0"}]}).encode()
        else:
            body = self.server.files[path]
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.server.ranges.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if path in self.server.cut:
            self.server.cut.remove(path)
            self.wfile.write(body[start : start + 1000])
            self.close_connection = True
            return
        self.wfile.write(body[start:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    facts = yahpo_data.shipped()["scenarios"]["lcbench"]
    monkeypatch.setattr(
        yahpo_pull, "shipped", lambda: {"scenarios": {"one": facts, "two": facts}, "git_blobs": {}}
    )
    monkeypatch.setenv("SURROBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("SURROBENCH_YAHPO_DATA", raising=False)
    server = Server()
    yield server
    server.shutdown()
    server.server_close()


def fetch(server, *scenarios):
    return pull(scenarios, api=server.url, raw=server.url, backoff=0.001)


def test_files_are_fetched_once_and_checked(server):
    folder = fetch(server, "one")
    assert folder == pulled_folder()
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == {
        path for path in FILES if not path.startswith("two")
    }
    assert (folder / "one" / "model.onnx").read_bytes() == FILES["one/model.onnx"]
    server.asked.clear()
    fetch(server)
    assert sorted(path for path in server.asked if "repos" not in path) == sorted(
        p for p in FILES if "two" in p
    )


def test_an_interrupted_download_goes_on(server):
    server.cut = {"one/model.onnx"}
    fetch(server, "one")
    assert 1000 in server.ranges
    assert (pulled_folder() / "one" / "model.onnx").read_bytes() == FILES["one/model.onnx"]


def test_what_is_left_of_another_file_is_fetched_anew(server):
    part = pulled_folder() / "one" / "model.onnx.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    fetch(server, "one")
    assert (pulled_folder() / "one" / "model.onnx").read_bytes() == FILES["one/model.onnx"]
    assert not part.exists()


def test_a_damaged_file_is_never_put_in_place(server):
    server.files["one/model.onnx"] = b"something else"
    with pytest.raises(DataError, match=r"one/model.onnx arrived damaged, twice"):
        fetch(server, "one")
    assert not (pulled_folder() / "one" / "model.onnx").exists()
    server.files = dict(FILES)
    fetch(server, "one")


def test_a_file_that_went_bad_on_disk_is_fetched_again(server):
    path = fetch(server, "one") / "one" / "model.onnx"
    path.write_bytes(b"bad")
    fetch(server, "one")
    assert path.read_bytes() == FILES["one/model.onnx"]


def test_errors_of_the_server_are_retried_and_others_are_not(server):
    server.status = {"VERSION": [500, 503]}
    fetch(server, "one")
    server.status = {"two/model.onnx": [404]}
    with pytest.raises(DataError, match=r"two/model.onnx cannot be fetched \(the server answered 404\)"):
        fetch(server, "two")
    assert server.asked.count("two/model.onnx") == 1


def test_offline_is_one_line(server, monkeypatch):
    monkeypatch.setattr(yahpo_pull, "RETRIES", 1)
    with pytest.raises(DataError, match="repeat the command when this machine is online") as raised:
        pull(["one"], api="http://127.0.0.1:9", raw="http://127.0.0.1:9", backoff=0.001)
    assert "\n" not in str(raised.value)


def test_unknown_scenarios_are_refused(server):
    with pytest.raises(UnknownName, match="Did you mean 'one'"):
        fetch(server, "onne")


def test_a_known_checksum_wins_over_the_listing(server, monkeypatch):
    facts = yahpo_data.shipped()["scenarios"]["lcbench"]
    ids = {"one/model.onnx": git_blob(b"the real one")}
    monkeypatch.setattr(yahpo_pull, "shipped", lambda: {"scenarios": {"one": facts}, "git_blobs": ids})
    with pytest.raises(DataError, match="arrived damaged"):
        fetch(server, "one")


def test_the_command_says_where_it_is_and_the_status_what_is_missing(server, monkeypatch):
    monkeypatch.setattr(yahpo_pull, "API", server.url)
    monkeypatch.setattr(pull, "__kwdefaults__", {"api": server.url, "raw": server.url, "backoff": 0.001})
    done = surrobench("data", "pull", "yahpo", "--scenario", "one")
    assert (done.status, done.err) == (0, "")
    assert str(pulled_folder()) in done.out
    status = surrobench("data", "status")
    assert "lcbench" in status.out.split("missing")[1]
    assert scenario_names(pulled_folder()) == []
    done = surrobench("data", "pull", "smollm2", "--scenario", "one")
    assert done.status == 2
