from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from nmrclassify.ui import upload_limits


def send(manager, visit, name, size):
    manager.add_file(visit, UploadedFileRec(name, f"{name}.csv", "text/csv", bytes(size)))


def kept(manager, visit):
    return list(manager.file_storage[visit])


def test_the_newest_files_of_a_visit_stay_within_number_and_bytes():
    manager = MemoryUploadedFileManager("upload")
    upload_limits.limit(manager)
    upload_limits.limit(manager)  # again, as each page does
    send(manager, "other", "theirs", 5)
    for k in range(30):
        send(manager, "visit", f"{k}", 7 * 2**20)
    assert kept(manager, "visit") == ["26", "27", "28", "29"]
    for k in range(66):
        send(manager, "visit", f"small {k}", 9)
    assert kept(manager, "visit") == [f"small {k}" for k in range(2, 66)]
    send(manager, "visit", "small 2", 11)
    assert kept(manager, "visit")[-1] == "small 2"
    assert kept(manager, "other") == ["theirs"]
    (stat,) = manager.get_stats()["cache_memory_bytes"]
    assert stat.byte_length == 63 * 9 + 11 + 5
