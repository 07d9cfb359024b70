<?php
// A vendor's client made by PHP's SoapClient from the served WSDL.
//
// Usage: php client.php WSDL_URL SOAP11|SOAP12 USER PASSWORD_FILE
//
// Builds whole events as arrays by the WSDL's types, calls every operation, and prints one JSON
// line a step, the same steps as the clients of the other stacks. Any other exception is a failure
// of the contract with this stack.
declare(strict_types=1);

require __DIR__ . '/event.php';

// Vendor calls the service step by step and tells what came back.
final class Vendor
{
    private SoapClient $client;

    public function __construct(string $wsdl, string $version, string $user, string $password)
    {
        $this->client = new SoapClient($wsdl, [
            'soap_version' => $version === 'SOAP12' ? SOAP_1_2 : SOAP_1_1,
            'login' => $user,
            'password' => $password,
            // Without it a list of one comes as the one, not as an array.
            'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
            // Else the WSDL is kept for a day in /tmp, whatever the service says by then.
            'cache_wsdl' => WSDL_CACHE_NONE,
        ]);
    }

    // typed gives the detail of a fault the types of the schema: unlike an answer, SoapClient decodes
    // it without the WSDL, so numbers come as text and a list of one as the one.
    private function typed(stdClass $errore): stdClass
    {
        $errore->AnomalieTotali = (int) $errore->AnomalieTotali;
        $errore->Anomalia = is_array($errore->Anomalia) ? $errore->Anomalia : [$errore->Anomalia];
        foreach ($errore->Anomalia as $anomalia) {
            if (isset($anomalia->Riga)) {
                $anomalia->Riga = (int) $anomalia->Riga;
            }
        }
        return $errore;
    }

    // step calls an operation and prints its answer or its fault.
    public function step(string $name, string $operation, array $request): ?stdClass
    {
        $line = ['step' => $name, 'operation' => $operation];
        $answer = null;
        try {
            $answer = $this->client->$operation($request);
            $line['answer'] = $answer;
        } catch (SoapFault $fault) {
            if (!isset($fault->detail->ErroreSinba)) {
                throw $fault;
            }
            $line['fault'] = $this->typed($fault->detail->ErroreSinba);
        }
        echo json_encode($line, JSON_THROW_ON_ERROR), "\n";
        return $answer;
    }
}

[, $wsdl, $version, $user, $passwordFile] = $argv;
$password = trim(file_get_contents($passwordFile));
$vendor = new Vendor($wsdl, $version, $user, $password);

$vendor->step('echo', 'echo', ['versione' => '1.0', 'Messaggio' => 'Però, l\'eco c\'è: €']);
$event = newEvent();
$vendor->step('verify', 'verificaEvento', $event);
$receipt = $vendor->step('send', 'inviaEvento', $event);

// An honest retry: another IdMessaggio and DataOraInvio, everything else the same.
$event['Testata']['IdMessaggio'] = uuid();
$event['Testata']['DataOraInvio'] = date(DATE_RFC3339);
$vendor->step('retry', 'inviaEvento', $event);
$vendor->step('state-by-receipt', 'statoEvento', ['CodiceEnte' => 'SDS-PI', 'IdRicevuta' => $receipt->IdRicevuta]);
$vendor->step('state-by-event', 'statoEvento', ['IdEvento' => $receipt->IdEvento]);

$event['Testata']['ProgressivoCartella'] = 8;
$vendor->step('other-content', 'inviaEvento', $event);

$warned = newEvent();
$warned['Soggetto']['Anagrafica']['DataNascita'] = '2012-05-08';
$vendor->step('warned', 'inviaEvento', $warned);

$bad = newEvent();
$bad['Testata']['IdMessaggio'] = '0001234';
$bad['Testata']['ProgressivoCartella'] = 0;
$bad['Mittente']['Ente']['Denominazione'] = str_repeat('à', 101);
$bad['Mittente']['Ente']['CodiceZona'] = 'Z 15';
$bad['Soggetto']['Anagrafica']['Residenza']['CAP'] = '5612';
$bad['Dettaglio']['Fotografia']['Intervento'][1]['ImportoMensile'] = '-1';
$vendor->step('verify-schema', 'verificaEvento', $bad);
$vendor->step('schema', 'inviaEvento', $bad);

$bad = newEvent();
$bad['Testata']['TipoEvento'] = 'INTERVENTO';
$bad['Soggetto']['IdAssistitoLocale'] = 'DNGZCL12E49G702K';
$bad['Soggetto']['Identificativo']['CodiceFiscale'] = 'DNGZCL12E49G702A';
$bad['Cartella']['DataApertura'] = '2011-09-10';
$vendor->step('rules', 'inviaEvento', $bad);

$bad = newEvent();
$bad['Soggetto']['Identificativo']['CodiceFiscale'] = 'DNGZCL12E49G702A';
// Two events that share an array (one constant of the program, say) go out with id and href instead
// of the second one's content: each must have its own.
$own = fn (array $event): array => unserialize(serialize($event));
$vendor->step('lot', 'inviaLotto', ['versione' => '1.0', 'IdLotto' => uuid(), 'Evento' => [$own(newEvent()), $own($bad)]]);
$vendor->step('summary', 'riepilogoEventi', ['CodiceEnte' => 'SDS-PI', 'Dal' => gmdate('Y-m-d', time() - 7 * 86400), 'Al' => gmdate('Y-m-d', time() + 86400)]);

$stranger = new Vendor($wsdl, $version, $user, 'another password');
$stranger->step('wrong-password', 'echo', ['Messaggio' => 'prova']);
