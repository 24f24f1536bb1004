"""The same intersection by openmined-psi, both parties in one process; prints figures as JSON.

Run by the interpreter that HANSE_PSI_PYTHON names: the package pins another protobuf than this project needs.
"""

import json
import sys
import time

import private_set_intersection.python as psi  # pyright: ignore[reportMissingImports]


def main() -> None:
    """Only the client learns the result, from a compressed set with one false positive in a billion."""
    size = int(sys.argv[1])
    client_ids = [f"person{number:07d}@shop.test" for number in range(size)]
    server_ids = [f"person{number:07d}@shop.test" for number in range(size // 2, size // 2 + size)]
    reveal = True  # whom they have in common, not only how many
    before = time.process_time()
    client, server = psi.client.CreateWithNewKey(reveal), psi.server.CreateWithNewKey(reveal)
    setup = server.CreateSetupMessage(1e-9, size, server_ids, psi.DataStructure.GCS)
    request = client.CreateRequest(client_ids)
    response = server.ProcessRequest(request)
    found = client.GetIntersection(setup, response)
    spent = time.process_time() - before
    sent = sum(len(message.SerializeToString()) for message in (setup, request, response))
    print(json.dumps({"cpu_s": spent, "sent_bytes": sent, "found": len(found)}))


if __name__ == "__main__":
    main()
