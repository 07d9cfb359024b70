"""Sends whole events by zeep, from the objects that zeep makes of them.

Usage: zeep_history.py WSDL_URL SOAP11|SOAP12 FILE

FILE has one JSON object a line: user, password_file and event, the fields of an
InviaEventoRichiesta. Prints Esito, SaleImpronta and ImprontaMessaggio of each, one event a
line; a refusal is an exception.
"""
import json
import sys

import requests
import zeep
from requests.auth import HTTPBasicAuth


def main():
    wsdl, version, file = sys.argv[1:4]
    services = {}
    with open(file) as lines:
        for line in map(json.loads, lines):
            user = line["user"]
            if user not in services:
                session = requests.Session()
                with open(line["password_file"]) as password:
                    session.auth = HTTPBasicAuth(user, password.read().strip())
                client = zeep.Client(wsdl, transport=zeep.Transport(session=session))
                services[user] = client.bind("SinbaEventi", "SinbaEventiSoap" + version[4:])
            receipt = services[user].inviaEvento(**line["event"])
            print(receipt.Esito, receipt.SaleImpronta, receipt.ImprontaMessaggio)


main()
