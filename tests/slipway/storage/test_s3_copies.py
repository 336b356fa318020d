"""Copies of objects on this machine: one of an object that is gone goes with the next listing of its folder."""

from __future__ import annotations

from typing import Any

from slipway.storage import object_store


def test_a_copy_goes_when_a_listing_lacks_its_object(s3: Any) -> None:
    store = object_store(s3.settings)
    for name in ("stays", "goes"):
        store.put(f"predictions/2026-03-01/{name}", b"content")
    stays, goes = store.local(["predictions/2026-03-01/stays", "predictions/2026-03-01/goes"])
    under_way = goes.with_name(".another.1.tmp")
    under_way.write_bytes(b"half")
    store.remove("predictions/2026-03-01/goes")
    assert goes.exists()
    assert store.names("predictions/2026-03-01") == ["stays"]
    assert (stays.exists(), goes.exists(), under_way.exists()) == (True, False, True)
    assert store.names("predictions") == ["2026-03-01"]
    assert stays.exists(), "the copies of a folder's folders are theirs"
