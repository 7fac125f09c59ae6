"""Makes the container `probe` in Azurite, with a request signed by the emulator's published key (Shared Key, Azure's REST reference)."""

import base64
import hashlib
import hmac
import sys
import urllib.error
import urllib.request
from email.utils import formatdate

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-08-06"

date = formatdate(usegmt=True)
# Twelve lines for standard headers, all of them empty, then ours, then the resource. The account stands twice: in the path and as the owner.
headers = ["PUT"] + [""] * 11
signed = "\n".join(
    [*headers, f"x-ms-date:{date}", f"x-ms-version:{VERSION}", f"/{ACCOUNT}/{ACCOUNT}/probe", "restype:container"]
)
signature = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(
    f"{sys.argv[1]}/{ACCOUNT}/probe?restype=container",
    data=b"",
    method="PUT",
    headers={
        "x-ms-date": date,
        "x-ms-version": VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{signature}",
        "Content-Length": "0",
        "Content-Type": "",
    },
)
try:
    urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as error:
    if error.code != 409:
        sys.exit(f"{error.code}: {error.read()[:300]}")
