"""Maps documented names to pages on docs.python.org. Only pages known to exist are used."""

from __future__ import annotations

import builtins
import sys
from typing import Final

# Modules with a page at library/{lowercase name}.html, in every version from 3.11 on.
_OWN_PAGE: Final = frozenset(
    """
    __future__ __main__ _thread abc argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2
    calendar cmath cmd code codecs codeop collections collections.abc colorsys compileall concurrent
    concurrent.futures configparser contextlib contextvars copy copyreg csv ctypes curses curses.ascii curses.panel
    dataclasses datetime dbm decimal difflib dis doctest email email.charset email.contentmanager email.encoders
    email.errors email.generator email.header email.headerregistry email.iterators email.message email.mime
    email.parser email.policy email.utils ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions
    ftplib functools gc getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html html.entities
    html.parser http http.client http.cookiejar http.cookies http.server imaplib importlib importlib.metadata
    importlib.resources importlib.resources.abc inspect io ipaddress itertools json keyword linecache locale logging
    logging.config logging.handlers lzma mailbox marshal math mimetypes mmap modulefinder multiprocessing
    multiprocessing.shared_memory netrc numbers operator optparse os os.path pathlib pdb pickle pickletools pkgutil
    platform plistlib poplib posix pprint profile pty pwd py_compile pyclbr pydoc queue quopri random re readline
    reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtplib socket
    socketserver sqlite3 ssl stat statistics string stringprep struct subprocess symtable sys sysconfig syslog
    tabnanny tarfile tempfile termios textwrap threading time timeit tkinter tkinter.colorchooser tkinter.dnd
    tkinter.font tkinter.messagebox tkinter.scrolledtext tkinter.ttk token tokenize tomllib trace traceback
    tracemalloc tty turtle types typing unicodedata unittest unittest.mock urllib urllib.error urllib.parse
    urllib.request urllib.robotparser uuid venv warnings wave weakref webbrowser wsgiref xml xml.dom
    xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.sax xml.sax.handler xmlrpc xmlrpc.client
    xmlrpc.server zipapp zipfile zipimport zlib zoneinfo
    """.split()  # noqa: SIM905  one name per line would be four pages
)

# Modules documented on the page of another.
_SHARED_PAGE: Final = {
    "cProfile": "profile",
    "pstats": "profile",
    "email.mime.application": "email.mime",
    "email.mime.audio": "email.mime",
    "email.mime.base": "email.mime",
    "email.mime.image": "email.mime",
    "email.mime.message": "email.mime",
    "email.mime.multipart": "email.mime",
    "email.mime.nonmultipart": "email.mime",
    "email.mime.text": "email.mime",
    "importlib.abc": "importlib",
    "importlib.machinery": "importlib",
    "importlib.util": "importlib",
    "multiprocessing.connection": "multiprocessing",
    "multiprocessing.managers": "multiprocessing",
    "multiprocessing.pool": "multiprocessing",
    "multiprocessing.sharedctypes": "multiprocessing",
    "tkinter.commondialog": "dialog",
    "tkinter.filedialog": "dialog",
    "tkinter.simpledialog": "dialog",
    "wsgiref.handlers": "wsgiref",
    "wsgiref.headers": "wsgiref",
    "wsgiref.simple_server": "wsgiref",
    "wsgiref.util": "wsgiref",
    "wsgiref.validate": "wsgiref",
    "xml.sax.saxutils": "xml.sax.utils",
    "xml.sax.xmlreader": "xml.sax.reader",
}

# asyncio has one page per subject; the defining module tells which.
_ASYNCIO_PAGES: Final = {
    "asyncio.base_events": "asyncio-eventloop",
    "asyncio.events": "asyncio-eventloop",
    "asyncio.exceptions": "asyncio-exceptions",
    "asyncio.futures": "asyncio-future",
    "asyncio.locks": "asyncio-sync",
    "asyncio.protocols": "asyncio-protocol",
    "asyncio.queues": "asyncio-queue",
    "asyncio.runners": "asyncio-runner",
    "asyncio.streams": "asyncio-stream",
    "asyncio.subprocess": "asyncio-subprocess",
    "asyncio.taskgroups": "asyncio-task",
    "asyncio.tasks": "asyncio-task",
    "asyncio.threads": "asyncio-task",
    "asyncio.timeouts": "asyncio-task",
    "asyncio.transports": "asyncio-protocol",
}

_STANDARD_TYPES: Final = frozenset(
    {"bytearray", "bytes", "dict", "frozenset", "list", "memoryview", "range", "set", "str", "tuple"}
)


def page_url(module: str, name: str, *, defined_in: str) -> str | None:
    """URL of `name` within `module` (empty: the module itself), or None if not certain."""
    if name and module == "builtins":
        return _url(_builtin_page(name), name)
    if name and module == "asyncio":
        page = _ASYNCIO_PAGES.get(defined_in)
    else:
        page = module.lower() if module in _OWN_PAGE else _SHARED_PAGE.get(module)
    return _url(page, f"{module}.{name}" if name else f"module-{module}") if page else None


def _builtin_page(name: str) -> str:
    top, _, member = name.partition(".")
    kind = getattr(builtins, top, None)
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return "exceptions"
    return "stdtypes" if member or top in _STANDARD_TYPES else "functions"


def _url(page: str, anchor: str) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"https://docs.python.org/{version}/library/{page}.html#{anchor}"
