"""What a vendor's program made by zeep sees of a closed door.

Usage: zeep_door.py WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE

Calls echo and inviaEvento, and prints one JSON object: what echo says, and of the refusal the
HTTP status, Retry-After, X-Sinba-Codice, and the text that the stack shows.
"""
import json
import sys

import requests
import zeep
from requests.auth import HTTPBasicAuth

from zeep_client import fields, new_event


def main():
    wsdl, version, user, password_file = sys.argv[1:5]
    session = requests.Session()
    with open(password_file) as file:
        session.auth = HTTPBasicAuth(user, file.read().strip())
    last = {}
    session.hooks["response"].append(lambda response, **_: last.update(response=response))
    client = zeep.Client(wsdl, transport=zeep.Transport(session=session))
    service = client.bind("SinbaEventi", "SinbaEventiSoap12" if version == "SOAP12" else "SinbaEventiSoap11")

    echo = service.echo(Messaggio="prova")
    said = {"disponibile": echo.Disponibile, "messaggio": echo.Messaggio}
    try:
        service.inviaEvento(**fields(new_event(client)))
    except zeep.exceptions.Fault as fault:
        said["text"] = fault.message
    headers = last["response"].headers
    said.update(status=last["response"].status_code, retry_after=headers.get("Retry-After", ""), codice=headers.get("X-Sinba-Codice", ""))
    print(json.dumps(said))


main()
