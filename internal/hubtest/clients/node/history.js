// Sends whole events by npm soap, from plain objects.
//
// Usage: node history.js WSDL_URL SOAP11|SOAP12 FILE
//
// FILE has one JSON object a line: user, password_file and event, the fields of an
// InviaEventoRichiesta. Prints Esito, SaleImpronta and ImprontaMessaggio of each, one event a
// line; a refusal is an exception.
'use strict';
const fs = require('fs');
const soap = require('soap');

async function main() {
  const [wsdl, version, file] = process.argv.slice(2);
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === 'SOAP12' });
  const port = client.SinbaEventi[version === 'SOAP12' ? 'SinbaEventiSoap12' : 'SinbaEventiSoap11'];
  for (const text of fs.readFileSync(file, 'utf8').trim().split('\n')) {
    const line = JSON.parse(text);
    client.setSecurity(new soap.BasicAuthSecurity(line.user, fs.readFileSync(line.password_file, 'utf8').trim()));
    const receipt = await new Promise((resolve, reject) => {
      port.inviaEvento(line.event, (error, result) => (error ? reject(error) : resolve(result)));
    });
    console.log(receipt.Esito, receipt.SaleImpronta, receipt.ImprontaMessaggio);
  }
}

main().catch((error) => { console.error(error.message); process.exit(1); });
