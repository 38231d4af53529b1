"""The private database: a MariaDB (or MySQL) of our own, for when no `DATABASE_URL` is set.

What lies in the data folder:

    mysql/        the database's files; made in `mysql.new/` and renamed, so they are whole or absent
    mysql.lock    locked by the process that owns the database
    mysql.alive   locked as long as the database program lives: it inherits the open file
    mysql.pid     the program's process id
    mysql.log     what the program has to say
    tmp/          its temporary files
    run/          mode 0700, holds the socket. Whoever can open the socket is root in the database, so this
                  folder is its door (a folder in /tmp when the path is too long for a socket)
"""
# ruff: noqa: ASYNC240 (a look at a local folder takes microseconds, and nothing is served yet)

import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import pymysql
import structlog

from app.backoff import backoff
from app.db.durable import flush, flush_all, make_folder

_logger = structlog.get_logger(__name__)

# Where the program is looked for after PATH. scripts/setup looks in the same places; where it may not install
# Debian's packages it unpacks them under the first.
_UNPACKED = Path(__file__).resolve().parents[2] / ".local" / "mariadb"
_PLACES = (
    f"{_UNPACKED}/usr/sbin",
    "/usr/sbin",
    "/usr/libexec",
    "/usr/local/sbin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
    "/opt/homebrew/opt/mysql/bin",
    "/usr/local/opt/mysql/bin",
)

_OPTIONS = (
    "--skip-networking",
    "--loose-mysqlx=OFF",  # MySQL's second port
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    "--default-time-zone=+00:00",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=128M",
    "--loose-innodb-log-file-size=128M",
    "--max-allowed-packet=64M",
    "--max-connections=200",
    "--performance-schema=OFF",
)
_CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS rushes CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"

# MariaDB's own tables: the files that mariadb-install-db cannot do without, in its order (mysql_*.sql, and
# mariadb_*.sql from version 11 on). Its others bring help texts and the sys schema, and take another second.
# Unlike it, this works in "My Projects".
_SYSTEM_TABLES = ("system_tables", "performance_tables", "system_tables_data")

# Becomes the database program, after asking the kernel to kill it when its parent dies: with SIGKILL, since
# anything gentler can hang, and InnoDB recovers. A program of its own, since Python code between fork and
# exec can deadlock in a process with threads. If the parent died before that, it is another by now.
_DIE_WITH_PARENT = """
import ctypes, os, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG, SIGKILL = 1, 9
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that wanted the database has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""

# All that the program gets of our environment, where the secrets of others are.
_ENVIRONMENT = ("PATH", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

_LONGEST_SOCKET_PATH = 103  # bytes on macOS; 107 on Linux
_START_SECONDS = 60
_STOP_SECONDS = 30

# Seconds: between two looks whether it lives; and before it is started again, twice as long each time that it lived
# for less than _SOUND.
_LOOK = 0.1
_PAUSE_MIN, _PAUSE_MAX = 0.1, 5.0
_SOUND = 10.0


class LocalDatabaseError(Exception):
    """One sentence: what is wrong with the private database, and what to do."""


@asynccontextmanager
async def private_database(data_dir: Path) -> AsyncIterator[str]:
    """The `DATABASE_URL` of a running database with its files in `data_dir`.

    Starts the database, again whenever it ends by itself, and stops it at the end; its files are made by the first
    start. If another process already runs it, gives that one's URL and stops nothing. The database dies with the
    thread that enters, so that must be one that lives as long as the process. Raises `LocalDatabaseError`.
    """
    async with AsyncExitStack() as stack:
        try:
            socket_path = await _own_or_join(data_dir, stack)
        except OSError as error:
            raise LocalDatabaseError(
                f"Cannot use {error.filename or data_dir} ({error.strerror}): "
                "make it writable, or name another folder with DATA_DIR."
            ) from error
        yield f"mysql://root@localhost/rushes?unix_socket={quote(str(socket_path), safe='')}"


async def _own_or_join(data_dir: Path, stack: AsyncExitStack) -> Path:
    """The socket of a database that answers; what must be undone at the end is put on `stack`."""
    data_dir = data_dir.resolve()
    make_folder(data_dir, 0o700)
    socket_path = _choose_socket(data_dir)
    lock, alive, log = (
        stack.enter_context((data_dir / name).open("a+b")) for name in ("mysql.lock", "mysql.alive", "mysql.log")
    )
    # Another owner may still be starting the database, or be about to stop it and leave it to us.
    if not await _until(lambda: _locked(lock) or _answers(socket_path), _START_SECONDS):
        raise LocalDatabaseError(f"The process that holds {lock.name} has no working database: stop it first.")
    if not _locked(lock):
        return socket_path

    await _end_orphan(alive, data_dir / "mysql.pid")
    program = _find_program()
    if not (data_dir / "mysql").is_dir():
        await _make_files(program, data_dir, log, alive)
    owned = _Owned(program, data_dir, socket_path, log, alive)
    stack.push_async_callback(owned.stop)
    await owned.start()
    owned.keep()
    return socket_path


class _Owned:
    """The database that this process runs."""

    def __init__(self, program: Path, data_dir: Path, socket_path: Path, log: IO[bytes], alive: IO[bytes]) -> None:
        self._program = program
        self._data_dir = data_dir
        self._socket_path = socket_path
        self._log = log
        self._alive = alive
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = False
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Until it answers. Raises LocalDatabaseError; then it may still be about to answer."""
        _make_door(self._socket_path.parent)
        log_start = self._log.seek(0, os.SEEK_END)
        self._answered = False
        self._process = process = _launch(
            self._program,
            self._data_dir,
            self._log,
            self._alive,
            f"--datadir={self._data_dir / 'mysql'}",
            f"--socket={self._socket_path}",
            f"--pid-file={self._data_dir / 'mysql.pid'}",
            f"--secure-file-priv={self._socket_path.parent}",  # MySQL's default is a folder that may be missing
            *_OPTIONS,
        )
        if not await _until(lambda: process.poll() is not None or _answers(self._socket_path), _START_SECONDS):
            raise _failure(f"did not answer within {_START_SECONDS} s", self._log, log_start)
        if process.poll() is not None:
            raise _failure("stopped while starting", self._log, log_start)
        self._answered = True

    def keep(self) -> None:
        """From now on starts it again whenever it ends, until `stop`."""
        self._keeping = asyncio.create_task(self._keep(), name="private database")

    async def stop(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is None:
            return
        if self._answered:
            await _stop(self._process)
        else:
            # MariaDB can miss a SIGTERM while it starts, and then runs on. It has nothing yet that it could lose.
            _kill(self._process)

    async def _keep(self) -> None:
        failures, began, logged = 0, time.monotonic(), ""
        while True:
            while self._process and self._process.poll() is None:  # noqa: ASYNC110 - its end sets no event
                await asyncio.sleep(_LOOK)
            if not logged:
                _logger.warning("private_database_ended", exit_code=self._process and self._process.returncode)
            failures = 1 if time.monotonic() - began > _SOUND else failures + 1
            await asyncio.sleep(backoff(failures, _PAUSE_MIN, _PAUSE_MAX))
            began = time.monotonic()
            try:
                await self.start()
            except Exception as error:  # noqa: BLE001 - whatever it was, it may be put right meanwhile
                if str(error) != logged:
                    _logger.warning("private_database_not_started", error=str(error))
                    logged = str(error)
            else:
                _logger.info("private_database_started_again")
                logged = ""


async def _end_orphan(alive: IO[bytes], pid_file: Path) -> None:
    """Locks `alive`, once a database whose owner was killed has ended too: by itself, or told to."""
    for number, seconds in ((None, 1), (signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, 5)):
        if number is not None:
            with suppress(OSError, ValueError):
                os.kill(int(pid_file.read_bytes()), number)  # it holds `alive`, so the id is still its own
        if await _until(lambda: _locked(alive), seconds):
            pid_file.unlink(missing_ok=True)
            return
    raise LocalDatabaseError(f"A database of an earlier run still uses {pid_file.parent}: stop it first.")


async def _make_files(program: Path, data_dir: Path, log: IO[bytes], alive: IO[bytes]) -> None:
    new = data_dir / "mysql.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    log_start = log.seek(0, os.SEEK_END)
    share = program.parent.parent / "share"
    scripts = [file for name in _SYSTEM_TABLES for file in share.glob(f"m*/m*_{name}.sql")]
    with tempfile.TemporaryFile() as sql:
        how = ["--initialize-insecure"]  # MySQL has its tables inside it
        if scripts:
            how = ["--bootstrap", "--silent-startup", "--enforce-storage-engine=", "--max-allowed-packet=8M"]
            sql.write(b"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n")  # no password
            sql.writelines(script.read_bytes() for script in scripts)
            sql.seek(0)
        process = _launch(program, data_dir, log, alive, f"--datadir={new}", *how, stdin=sql)
    try:
        await _until(lambda: process.poll() is not None, _START_SECONDS)
    finally:
        _kill(process)
    if process.returncode != 0:
        raise _failure("could not make its files", log, log_start)
    # The program does not flush all that it makes here, and after the rename it is taken for whole.
    await asyncio.to_thread(flush_all, new)
    new.rename(data_dir / "mysql")
    flush(data_dir)


def _launch(
    program: Path,
    data_dir: Path,
    log: IO[bytes],
    alive: IO[bytes],
    *options: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    if program.is_relative_to(_UNPACKED):
        libraries = (*_UNPACKED.glob("usr/lib/*-linux-*"), *_UNPACKED.glob("lib/*-linux-*"))
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
    # In /tmp, a server that starts deletes the temporary tables of every other.
    temporary = data_dir / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    own = (f"--basedir={program.parent.parent}", f"--tmpdir={temporary}")
    command = [str(program), "--no-defaults", *own, *options, *as_root]
    return subprocess.Popen(  # noqa: S603 (no shell reads it, and the program is one that we found)
        [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command],
        stdin=stdin,
        stdout=log,
        stderr=log,
        env=environment,
        pass_fds=(alive.fileno(),),
        start_new_session=True,  # Ctrl-C is for us: we finish our work, then stop the database
    )


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        await _until(lambda: process.poll() is not None, _STOP_SECONDS)
    finally:
        _kill(process)  # too slow, or we are told to stop a second time; what was committed is safe


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition, asked again and again in another thread, came true in time."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _answers(socket_path: Path) -> bool:
    """Whether the database takes commands; if so, `rushes` exists in it from then on."""
    # The socket is ours: PyMySQL leaves one that it cannot connect for the garbage collector to warn of.
    with socket.socket(socket.AF_UNIX) as unix_socket, suppress(OSError, pymysql.err.OperationalError):
        unix_socket.settimeout(5)
        unix_socket.connect(str(socket_path))
        # Through a socket of ours no TLS is needed, and what it needs takes 50 ms to make.
        connection = pymysql.connect(user="root", read_timeout=5, defer_connect=True, ssl_disabled=True)
        connection.connect(unix_socket)
        with connection, connection.cursor() as cursor:
            cursor.execute(_CREATE_DATABASE)
        return True
    return False


def _locked(file: IO[bytes]) -> bool:
    """Locks the file until it is closed here and wherever it was inherited; False if another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _failure(what: str, log: IO[bytes], log_start: int) -> LocalDatabaseError:
    """Quotes the line that tells most of those since `log_start`: the first error, else the last."""
    log.seek(log_start)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    errors = [line.partition("[ERROR]")[2].strip() for line in lines if "[ERROR]" in line]
    said = (errors or lines[-1:] or ["it said nothing"])[0].rstrip(".")
    return LocalDatabaseError(f"The private database {what}: {said} (more in {log.name}).")


def _find_program() -> Path:
    path = os.pathsep.join((os.environ.get("PATH", ""), *_PLACES))
    found = shutil.which("mariadbd", path=path) or shutil.which("mysqld", path=path)
    if found is None:
        raise LocalDatabaseError(
            "No MariaDB or MySQL server program was found: run `make install`, "
            "install the package mariadb-server-core, or set DATABASE_URL."
        )
    return Path(found).resolve()  # its other files lie beside it, not beside a symbolic link to it


def _choose_socket(data_dir: Path) -> Path:
    socket_path = data_dir / "run" / "mysqld.sock"
    if len(os.fsencode(socket_path)) <= _LONGEST_SOCKET_PATH:
        return socket_path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path("/tmp") / f"rushes-{digest}" / socket_path.name  # noqa: S108 (_make_door looks whose it is)


def _make_door(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LocalDatabaseError(f"{folder} is not a folder of yours: remove it and try again.")
    folder.chmod(0o700)
    # MySQL takes the lock file of one that was killed for a running one, once its process id is in use again.
    for leftover in folder.glob("mysqld.sock*"):
        leftover.unlink()
