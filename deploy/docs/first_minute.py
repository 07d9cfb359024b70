"""A vendor's first minute: zeep against a running `make up`. Nothing of the hub is needed but its WSDL.

Usage: /usr/bin/python3 deploy/docs/first_minute.py [run.json]

The file is the one in $SINBAHUB_VAR, or in var, if none is named.

Debian has zeep as python3-zeep (`make deps-clients`), everybody else by `pip install zeep`.
"""
import datetime
import json
import os
import sys
import uuid

import requests
import zeep
from requests.auth import HTTPBasicAuth

path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.environ.get("SINBAHUB_VAR", "var"), "run.json")
try:
    with open(path) as file:
        run = json.load(file)
except FileNotFoundError:
    sys.exit(f"There is no {path}: start a hub with `make up` first, or name the run.json of one that runs.")
participant = next(p for p in run["participants"] if p["ente"] == "SDS-FI")
with open(participant["api_password_file"]) as file:
    password = file.read().strip()

session = requests.Session()
session.auth = HTTPBasicAuth(participant["api_user"], password)
client = zeep.Client(run["wsdl_url"], transport=zeep.Transport(session=session))
service = client.bind("SinbaEventi", "SinbaEventiSoap12")


def new_event():
    """The opening of a case, with ids of its own. The child is invented."""
    event_id = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "versione": "1.0",
        "Testata": {
            "IdMessaggio": str(uuid.uuid4()), "IdEvento": event_id,
            "TipoEvento": "APERTURA_CARTELLA", "TipoOperazione": "I", "ProgressivoCartella": 1,
            "DataOraEvento": now, "DataOraInvio": now,
        },
        "Mittente": {
            "Ente": {
                "CodiceEnte": "SDS-FI", "CodiceFiscaleEnte": "94000000102", "TipoEnte": "SDS",
                "Denominazione": "Società della Salute di Firenze", "CodiceZona": "Z01",
            },
            "Applicativo": {"Fornitore": "Caribel", "Prodotto": "Aster", "Versione": "4.2.1"},
        },
        "Soggetto": {
            "IdAssistitoLocale": "A-2023-004117",
            "Identificativo": {"CodiceFiscale": "DNGNCL12E09D612Q"},
            "Anagrafica": {
                "Cognome": "D'Angelò", "Nome": "Niccolò", "Sesso": "M",
                "DataNascita": datetime.date(2012, 5, 9), "LuogoNascita": "D612", "CodiceCittadinanza": "380",
                "Residenza": {"CodiceNazione": "380", "CodiceComune": "048017"},
            },
        },
        "Cartella": {"IdCartella": "prova/" + event_id[:8], "DataApertura": now.date()},
        "Dettaglio": {"AperturaCartella": {"CanaleAccesso": "SPORTELLO"}},
    }


def tell(what, call):
    """Calls an operation and prints its answer, or every violation of its fault."""
    print("==", what)
    try:
        answer = call()
    except zeep.exceptions.Fault as fault:
        if fault.detail is None or not len(fault.detail):
            raise
        element = client.get_element("{urn:sinba:eventi:v1}ErroreSinba")
        for v in element.parse(fault.detail[0], client.wsdl.types).Anomalia:
            print("  ", v.Codice, v.Regola or "", v.Posizione, v.Descrizione)
        return None
    return answer


event = new_event()
report = tell("would it be accepted?", lambda: service.verificaEvento(**event))
print("  ", report.EsitoPrevisto)
receipt = tell("send it", lambda: service.inviaEvento(**event))
if receipt is None:
    sys.exit("   refused. If the code is SINBA_50x: nothing is stored, send the same again later")
print("  ", receipt.Esito, receipt.IdRicevuta)
# An honest retry: the same IdEvento and content, a new IdMessaggio.
event["Testata"]["IdMessaggio"] = str(uuid.uuid4())
again = tell("send it again", lambda: service.inviaEvento(**event))
print("  ", again.Esito, again.IdRicevuta)
state = tell("where is it?", lambda: service.statoEvento(IdEvento=receipt.IdEvento))
print("  ", state.Stato)

wrong = new_event()
wrong["Soggetto"]["IdAssistitoLocale"] = "DNGNCL12E09D612Q"
wrong["Cartella"]["DataApertura"] = datetime.date(2011, 1, 1)
tell("a wrong one: the rules", lambda: service.inviaEvento(**wrong))
wrong["Testata"]["IdMessaggio"] = "1234"
wrong["Mittente"]["Ente"]["CodiceZona"] = "Z 1"
tell("a wrong one: the schema comes first", lambda: service.inviaEvento(**wrong))

bad = new_event()
bad["Cartella"]["DataApertura"] = datetime.date(2011, 1, 1)
lot = tell("two at once, one of them wrong", lambda: service.inviaLotto(
    versione="1.0", IdLotto=str(uuid.uuid4()), Evento=[new_event(), bad]))
for one in lot.EsitoEvento:
    print("  ", one.Posizione, one.Ricevuta.Esito if one.Ricevuta else [v.Codice for v in one.Errore.Anomalia])

today, day = datetime.date.today(), datetime.timedelta(days=1)  # the hub's days are those of Rome
summary = tell("what does the hub have of us?", lambda: service.riepilogoEventi(
    CodiceEnte="SDS-FI", Dal=today - day, Al=today + day))
for total in summary.Totale:
    print("  ", total.Giorno, total.TipoEvento, total.Numero)
