"""A vendor's client made by zeep from the served WSDL.

Usage: zeep_client.py WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE EVENT.xml BAD.xml

Builds whole events from zeep's own types, calls the operations, and prints one JSON object of
what came back. Any exception is a failure of the contract with this stack.
"""
import json
import sys
import uuid
from datetime import datetime, timezone

import requests
import zeep
from lxml import etree
from requests.auth import HTTPBasicAuth
from zeep.helpers import serialize_object

NS = "urn:sinba:eventi:v1"


def read_event(client, path, root):
    """Reads a document into zeep's type of the request."""
    tree = etree.parse(path).getroot()
    element = client.get_element("{%s}%s" % (NS, root))
    return element.type.parse_xmlelement(tree, client.wsdl.types)


def fields(value):
    return {key: getattr(value, key) for key in value.__values__ if getattr(value, key) is not None}


def fault_of(client, error):
    """Reads all violations of the typed fault detail."""
    detail = error.detail if error.detail is not None else None
    node = detail[0] if len(detail) else detail
    errore = client.get_element("{%s}ErroreSinba" % NS).parse(node, client.wsdl.types)
    return [
        {"codice": a.Codice, "posizione": a.Posizione, "descrizione": a.Descrizione, "en": a.DescrizioneEN}
        for a in errore.Anomalia
    ]


def main():
    wsdl, version, user, password_file, good, bad = sys.argv[1:7]
    session = requests.Session()
    session.auth = HTTPBasicAuth(user, open(password_file).read().strip())
    client = zeep.Client(wsdl, transport=zeep.Transport(session=session))
    port = "SinbaEventiSoap12" if version == "SOAP12" else "SinbaEventiSoap11"
    service = client.bind("SinbaEventi", port)
    out = {"zeep": zeep.__version__, "port": port}

    echo = service.echo(Messaggio="prova")
    out["echo"] = {"messaggio": echo.Messaggio, "disponibile": echo.Disponibile}

    event = read_event(client, good, "InviaEventoRichiesta")
    event.Testata.IdEvento = str(uuid.uuid4())
    event.Testata.IdMessaggio = str(uuid.uuid4())
    event.Cartella.IdCartella = "Z/" + event.Testata.IdEvento[:8]
    report = service.verificaEvento(**fields(event))
    out["verifica"] = {"conforme": report.Conforme, "esito": report.EsitoPrevisto}

    receipt = service.inviaEvento(**fields(event))
    out["receipt"] = serialize_object(receipt, dict)

    # An honest retry: new IdMessaggio and DataOraInvio, everything else the same.
    event.Testata.IdMessaggio = str(uuid.uuid4())
    event.Testata.DataOraInvio = datetime.now(timezone.utc)
    again = service.inviaEvento(**fields(event))
    out["again"] = serialize_object(again, dict)

    state = service.statoEvento(CodiceEnte=event.Mittente.Ente.CodiceEnte, IdRicevuta=receipt.IdRicevuta)
    out["stato"] = state.Stato

    # Other content under the same id.
    event.Testata.ProgressivoCartella = event.Testata.ProgressivoCartella + 7
    try:
        service.inviaEvento(**fields(event))
        out["conflict"] = None
    except zeep.exceptions.Fault as error:
        out["conflict"] = fault_of(client, error)

    broken = read_event(client, bad, "InviaEventoRichiesta")
    broken.Testata.IdEvento = str(uuid.uuid4())
    try:
        service.inviaEvento(**fields(broken))
        out["fault"] = None
    except zeep.exceptions.Fault as error:
        out["fault"] = fault_of(client, error)

    for name, call in {
        "riepilogo": lambda: service.riepilogoEventi(CodiceEnte=event.Mittente.Ente.CodiceEnte, Dal="2026-01-01", Al="2026-01-31"),
        "lotto": lambda: service.inviaLotto(IdLotto=str(uuid.uuid4()), Evento=[event]),
    }.items():
        try:
            call()
            out[name] = "answered"
        except zeep.exceptions.Fault as error:
            out[name] = fault_of(client, error)

    json.dump(out, sys.stdout, default=str)


main()
