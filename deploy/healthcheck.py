"""Exit 0 when the server in this container answers that it lives.

http.client and not urllib.request: the latter would send even this through HTTP_PROXY.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException


def main() -> int:
    path = os.environ.get("API_V1_PREFIX", "/api/v1") + "/health/live"
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("HEALTHCHECK_PORT", "8000")), 4)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    if status != HTTPStatus.OK:
        sys.stderr.write(f"{path}: {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
