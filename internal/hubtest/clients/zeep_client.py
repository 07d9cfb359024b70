"""A vendor's client made by zeep from the served WSDL.

Usage: zeep_client.py WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE

Builds whole events from zeep's own types, calls every operation, and prints one JSON line a step,
the same steps as the clients of the other stacks. Any other exception is a failure of the
contract with this stack.
"""
import json
import sys
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import requests
import zeep
from requests.auth import HTTPBasicAuth

NS = "urn:sinba:eventi:v1"


def fotografia():
    """The body of a CARICAMENTO_INIZIALE. zeep takes dicts for types, lists for what repeats."""
    minore = {
        "MinoreStranieroNoAcc": "2", "CondizioneMinore": "1", "LuogoVita": "1", "ScuolaFrequentata": "5",
        "CondizioneLavoro": "1", "Disabilita": "2",
    }
    return {
        "DataRiferimento": date(2024, 3, 31),
        "PresaInCarico": {
            "DataPresaInCarico": date(2021, 9, 24), "TipoPresaInCarico": "SOCIO_SANITARIA",
            "MotivoPrevalente": "7", "DatiMinore": minore,
        },
        "Segnalazione": {
            "IdSegnalazione": "SGN-21-0121", "DataSegnalazione": date(2021, 9, 10), "PrimaSegnalazione": "1",
            "FonteSegnalazione": "14", "SegnalazioneAutoritaGiudiziaria": "1",
            "DataSegnalazioneAutorita": date(2021, 9, 12),
        },
        "Valutazione": {
            "IdValutazione": "VLT-24-0008", "DataValutazione": date(2024, 2, 15),
            "DatiMinore": {
                **minore, "LuogoVita": "3", "ScuolaFrequentata": "6", "Disabilita": "1",
                "TipoDisabilita": "3", "InvCivCertificazioni": "5",
            },
            "ValutazioneMinore": ["2", "7"], "ValutazioneFamigliaMinore": ["7", "2"],
            "CollaborazioniInterventi": ["3", "5", "7"],
            "ISEE": {"NumeroComponentiISEE": 4, "FasciaISEEBeneficiario": "3"},
        },
        "NucleoFamiliare": {
            "DataRiferimento": date(2024, 2, 15), "ComposizioneFamiglia": ["1", "2", "3"],
            "Padre": {"CodiceCittadinanza": "203", "CodiceRegioneResidenza": "17", "TitoloStudio": "2", "Occupazione": "1"},
            "Madre": {"CodiceCittadinanza": "380", "Occupazione": "4"},
        },
        "Progetto": [{
            "IdProgetto": "PQ-21-004", "TipoProgetto": "PROGETTO_QUADRO", "Fase": "APERTURA",
            "DataInizio": date(2021, 10, 15), "DataFinePrevista": date(2030, 5, 9),
        }],
        "ProvvedimentoGiudiziario": [{
            "IdProvvedimento": "TM-22-0019", "Fase": "APERTURA", "DataProvvedimentoGiudiziario": date(2022, 1, 9),
            "AutoritaProvvedimento": "2", "TipoProvvedimentoGiudiziario": "4", "PotestaTutela": "1",
        }],
        "Intervento": [
            {
                "IdIntervento": "PR-21-0442", "Fase": "CHIUSURA", "CodicePrestazione": "A1.20",
                "DataInizioPrestazione": date(2021, 10, 1), "DataFinePrestazione": date(2022, 1, 10),
                "Erogatore": "TERZO_SETTORE", "OreServizioMensile": 12, "MotivoChiusura": "CONCLUSO",
            },
            {
                "IdIntervento": "PR-22-0031", "Fase": "APERTURA", "CodicePrestazione": "A4.02",
                "VoceNomenclatore": "D.2", "IdProgetto": "PQ-21-004", "DataInizioPrestazione": date(2022, 2, 3),
                "Erogatore": "ASL", "OreServizioMensile": 4, "ImportoMensile": Decimal("1250.10"),
            },
        ],
        "Affidamento": [{
            "IdAffidamento": "AF-22-0007", "Fase": "APERTURA", "DataInizio": date(2022, 7, 1),
            "FormaInterventoAffido": "2", "TipoInterventoAffido": "2", "DurataAffido": "1", "CarattereAffido": "1",
            "IdProvvedimento": "TM-22-0019",
        }],
        "InserimentoStruttura": [{
            "IdInserimento": "IS-22-003", "Fase": "CHIUSURA", "CodiceStrutturaASSO": "ASSO-PI-0007",
            "DataIngresso": date(2022, 1, 13), "DataDimissione": date(2022, 7, 1),
            "CarattereInserimentoResidenziale": "10", "FormaInserimentoResidenziale": "2",
            "TipoInserimentoResidenziale": "2", "EsitoInserimentoStruttura": "2", "IdProvvedimento": "TM-22-0019",
        }],
    }


def new_event(client):
    """A whole event with ids of its own, as zeep's type."""
    event_id = str(uuid.uuid4())
    return client.get_type("{%s}MessaggioEventoType" % NS)(
        versione="1.0",
        Testata={
            "IdMessaggio": str(uuid.uuid4()), "IdEvento": event_id, "TipoEvento": "CARICAMENTO_INIZIALE",
            "TipoOperazione": "I", "ProgressivoCartella": 1,
            "DataOraEvento": datetime(2024, 4, 10, 10, tzinfo=timezone(timedelta(hours=2))),
            "DataOraInvio": datetime.now(timezone.utc), "Ambiente": "PROD",
        },
        Mittente={
            "Ente": {
                "CodiceEnte": "SDS-PI", "CodiceFiscaleEnte": "80000000010", "TipoEnte": "SDS",
                "Denominazione": "Società della Salute dell'Area \"Pisana\" & Valdera", "CodiceZona": "Z15",
            },
            "Applicativo": {"Fornitore": "Alias2k", "Prodotto": "Gesocial", "Versione": "5.1"},
            "IdOperatoreLocale": "GS:12",
        },
        Soggetto={
            "IdAssistitoLocale": "A-00950-0012",
            "Identificativo": {"CodiceFiscale": "DNGZCL12E49G702K"},
            "Anagrafica": {
                "Cognome": "D'Angelò Škoda", "Nome": "Zoë Nicolò", "Sesso": "F", "DataNascita": date(2012, 5, 9),
                "LuogoNascita": "G702", "CodiceCittadinanza": "380",
                "Residenza": {
                    "CodiceNazione": "380", "CodiceComune": "050026", "CAP": "56127",
                    "Indirizzo": "Via dell'Esempio 7/A, località Più su <interno 2> €",
                },
            },
        },
        Cartella={"IdCartella": "2024/" + event_id[:8], "DataApertura": date(2021, 9, 10)},
        Dettaglio={"Fotografia": fotografia()},
    )


def fields(value):
    """zeep calls an operation with the fields of its element's type, not with the type."""
    return {name: value[name] for name in value if value[name] is not None}


def plain(value):
    """zeep's types as what JSON has."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "__values__"):
        return {name: plain(value[name]) for name in value if value[name] is not None}
    return value


class Vendor:
    """Calls the service step by step and tells what came back."""

    def __init__(self, wsdl, version, user, password):
        session = requests.Session()
        session.auth = HTTPBasicAuth(user, password)
        self.client = zeep.Client(wsdl, transport=zeep.Transport(session=session))
        port = "SinbaEventiSoap12" if version == "SOAP12" else "SinbaEventiSoap11"
        self.service = self.client.bind("SinbaEventi", port)

    def step(self, name, operation, **request):
        """Calls an operation and prints its answer or its fault."""
        line = {"step": name, "operation": operation}
        answer = None
        try:
            answer = getattr(self.service, operation)(**request)
            line["answer"] = plain(answer)
        except zeep.exceptions.Fault as fault:
            if fault.detail is None:
                raise
            # In 1.1 the detail is the element <detail>, in 1.2 <Detail>; what it holds is typed.
            element = self.client.get_element("{%s}ErroreSinba" % NS)
            line["fault"] = plain(element.parse(fault.detail[0], self.client.wsdl.types))
        print(json.dumps(line))
        return answer


def main():
    wsdl, version, user, password_file = sys.argv[1:5]
    with open(password_file) as file:
        password = file.read().strip()
    vendor = Vendor(wsdl, version, user, password)
    client = vendor.client

    vendor.step("echo", "echo", versione="1.0", Messaggio="Però, l'eco c'è: €")
    event = new_event(client)
    vendor.step("verify", "verificaEvento", **fields(event))
    receipt = vendor.step("send", "inviaEvento", **fields(event))

    # An honest retry: another IdMessaggio and DataOraInvio, everything else the same.
    event.Testata.IdMessaggio = str(uuid.uuid4())
    event.Testata.DataOraInvio = datetime.now(timezone.utc)
    vendor.step("retry", "inviaEvento", **fields(event))
    vendor.step("state-by-receipt", "statoEvento", CodiceEnte="SDS-PI", IdRicevuta=receipt.IdRicevuta)
    vendor.step("state-by-event", "statoEvento", IdEvento=receipt.IdEvento)

    event.Testata.ProgressivoCartella = 8
    vendor.step("other-content", "inviaEvento", **fields(event))

    warned = new_event(client)
    warned.Soggetto.Anagrafica.DataNascita = date(2012, 5, 8)
    vendor.step("warned", "inviaEvento", **fields(warned))

    bad = new_event(client)
    bad.Testata.IdMessaggio = "0001234"
    bad.Testata.ProgressivoCartella = 0
    bad.Mittente.Ente.Denominazione = "à" * 101
    bad.Mittente.Ente.CodiceZona = "Z 15"
    bad.Soggetto.Anagrafica.Residenza.CAP = "5612"
    bad.Dettaglio.Fotografia.Intervento[1].ImportoMensile = Decimal("-1")
    vendor.step("verify-schema", "verificaEvento", **fields(bad))
    vendor.step("schema", "inviaEvento", **fields(bad))

    bad = new_event(client)
    bad.Testata.TipoEvento = "INTERVENTO"
    bad.Soggetto.IdAssistitoLocale = "DNGZCL12E49G702K"
    bad.Soggetto.Identificativo.CodiceFiscale = "DNGZCL12E49G702A"
    bad.Cartella.DataApertura = date(2011, 9, 10)
    vendor.step("rules", "inviaEvento", **fields(bad))

    bad = new_event(client)
    bad.Soggetto.Identificativo.CodiceFiscale = "DNGZCL12E49G702A"
    vendor.step("lot", "inviaLotto", versione="1.0", IdLotto=str(uuid.uuid4()), Evento=[new_event(client), bad])
    vendor.step("summary", "riepilogoEventi", CodiceEnte="SDS-PI", Dal=date.today() - timedelta(days=7), Al=date.today() + timedelta(days=1))

    stranger = Vendor(wsdl, version, user, "another password")
    try:
        stranger.step("wrong-password", "echo", Messaggio="prova")
    except zeep.exceptions.TransportError as error:
        print(json.dumps({"step": "wrong-password", "operation": "echo", "status": error.status_code}))


if __name__ == "__main__":
    main()
