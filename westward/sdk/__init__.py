"""The Python SDK: ``westward.Client`` and ``westward.AsyncClient``.

with westward.Client("http://127.0.0.1:8080") as client:
    job = client.submit("resources: {cpus: 1}\\nrun: echo hello")
    print(client.wait(job["job_id"])["state"])
"""

from westward.sdk.errors import ApiError, Unreachable, WaitTimeout

__all__ = ["ApiError", "Unreachable", "WaitTimeout"]
