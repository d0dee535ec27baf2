"""A limit on the files that the server keeps of one visit: the newest stay."""

from functools import partial

from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

TABLES = ["csv", "tsv", "txt", "dat", "asc"]  # ends of the names of tables
SPECTRA = ["zip", "dx", "jdx", "jcamp", "nmrml", "ft", "ft1"]
MAX_FILES = 64
MAX_BYTES = 32 * 1024 * 1024
KEPT = f"The server keeps the newest {MAX_FILES} files of a visit, {MAX_BYTES // 2**20} MB in all."


def limit_uploads() -> None:
    """Limit what the server of this page keeps; without a server there is nothing to limit."""
    if runtime.exists():
        manager = runtime.get_instance().uploaded_file_mgr
        if isinstance(manager, MemoryUploadedFileManager):
            limit(manager)


def limit(manager: MemoryUploadedFileManager) -> None:
    """Make a manager drop the oldest files of a visit beyond the limits; once is enough."""
    if "add_file" not in vars(manager):
        manager.add_file = partial(_add, manager)  # type: ignore[method-assign]


def _add(manager: MemoryUploadedFileManager, session_id: str, file: UploadedFileRec) -> None:
    # A file that is sent again becomes the newest.
    manager.remove_file(session_id, file.file_id)
    MemoryUploadedFileManager.add_file(manager, session_id, file)
    files = list(manager.file_storage[session_id].values())
    while len(files) > MAX_FILES or sum(len(kept.data) for kept in files) > MAX_BYTES:
        manager.remove_file(session_id, files.pop(0).file_id)
