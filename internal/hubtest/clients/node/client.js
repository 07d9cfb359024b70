// A vendor's client made by npm soap from the served WSDL.
//
// Usage: node client.js WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE
//
// Builds whole events as plain objects, calls every operation, and prints one JSON line a step,
// the same steps as the clients of the other stacks. Any other exception is a failure of the
// contract with this stack.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const soap = require('soap');
const { newEvent } = require('./event.js');

// REPEATED are the elements of answers that may come more than once: npm soap gives an array only
// for two or more.
const REPEATED = ['Anomalia', 'Avviso', 'EsitoEvento', 'Totale', 'VoceEvento'];

// typed gives an answer the types of the schema: npm soap knows those of XML Schema itself only
// and leaves numbers of the contract's own types as text.
function typed(value, name) {
  if (REPEATED.includes(name)) return [].concat(value).map((item) => typed(item));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'attributes').map(([key, item]) => [key, typed(item, key)]));
  }
  if (name === 'Posizione' && /^[0-9]+$/.test(value)) return Number(value); // in a lot; else a path
  return ['Riga', 'AnomalieTotali', 'Tentativi', 'Numero'].includes(name) ? Number(value) : value;
}

// erroreSinba finds the typed detail of a fault: <detail> in 1.1, <Detail> in 1.2.
function erroreSinba(error) {
  const fault = error.root && error.root.Envelope && error.root.Envelope.Body.Fault;
  const detail = fault && (fault.detail || fault.Detail);
  if (!detail) throw error;
  return detail.ErroreSinba;
}

async function main() {
  const [wsdl, version, user, passwordFile] = process.argv.slice(2);
  const password = fs.readFileSync(passwordFile, 'utf8').trim();
  const client = await soap.createClientAsync(wsdl, { forceSoap12Headers: version === 'SOAP12' });
  client.setSecurity(new soap.BasicAuthSecurity(user, password));
  const port = client.SinbaEventi[version === 'SOAP12' ? 'SinbaEventiSoap12' : 'SinbaEventiSoap11'];

  // step calls an operation and prints its answer or its fault.
  async function step(name, operation, request) {
    const line = { step: name, operation };
    let answer;
    try {
      answer = await new Promise((resolve, reject) => {
        port[operation](request, (error, result) => (error ? reject(error) : resolve(result)));
      });
      line.answer = typed(answer);
    } catch (error) {
      line.fault = typed(erroreSinba(error));
    }
    process.stdout.write(JSON.stringify(line) + '\n');
    return answer;
  }

  await step('echo', 'echo', { attributes: { versione: '1.0' }, Messaggio: 'Però, l\'eco c\'è: €' });
  const event = newEvent();
  await step('verify', 'verificaEvento', event);
  const receipt = await step('send', 'inviaEvento', event);

  // An honest retry: another IdMessaggio and DataOraInvio, everything else the same.
  event.Testata.IdMessaggio = crypto.randomUUID();
  event.Testata.DataOraInvio = new Date().toISOString();
  await step('retry', 'inviaEvento', event);
  await step('state-by-receipt', 'statoEvento', { CodiceEnte: 'SDS-PI', IdRicevuta: receipt.IdRicevuta });
  await step('state-by-event', 'statoEvento', { IdEvento: receipt.IdEvento });

  event.Testata.ProgressivoCartella = 8;
  await step('other-content', 'inviaEvento', event);

  const warned = newEvent();
  warned.Soggetto.Anagrafica.DataNascita = '2012-05-08';
  await step('warned', 'inviaEvento', warned);

  let bad = newEvent();
  bad.Testata.IdMessaggio = '0001234';
  bad.Testata.ProgressivoCartella = 0;
  bad.Mittente.Ente.Denominazione = 'à'.repeat(101);
  bad.Mittente.Ente.CodiceZona = 'Z 15';
  bad.Soggetto.Anagrafica.Residenza.CAP = '5612';
  bad.Dettaglio.Fotografia.Intervento[1].ImportoMensile = '-1';
  await step('verify-schema', 'verificaEvento', bad);
  await step('schema', 'inviaEvento', bad);

  bad = newEvent();
  bad.Testata.TipoEvento = 'INTERVENTO';
  bad.Soggetto.IdAssistitoLocale = 'DNGZCL12E49G702K';
  bad.Soggetto.Identificativo.CodiceFiscale = 'DNGZCL12E49G702A';
  bad.Cartella.DataApertura = '2011-09-10';
  await step('rules', 'inviaEvento', bad);

  bad = newEvent();
  bad.Soggetto.Identificativo.CodiceFiscale = 'DNGZCL12E49G702A';
  await step('lot', 'inviaLotto', { attributes: { versione: '1.0' }, IdLotto: crypto.randomUUID(), Evento: [newEvent(), bad] });
  const day = (offset) => new Date(Date.now() + offset * 86400000).toISOString().slice(0, 10);
  await step('summary', 'riepilogoEventi', { CodiceEnte: 'SDS-PI', Dal: day(-7), Al: day(1) });

  client.setSecurity(new soap.BasicAuthSecurity(user, 'another password'));
  await step('wrong-password', 'echo', { Messaggio: 'prova' });
}

main().catch((error) => { console.error(error); process.exit(1); });
