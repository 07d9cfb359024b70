<?php
// Sends whole events by PHP's SoapClient, from arrays.
//
// Usage: php history.php WSDL_URL SOAP11|SOAP12 FILE
//
// FILE has one JSON object a line: user, password_file and event, the fields of an
// InviaEventoRichiesta. Prints Esito, SaleImpronta and ImprontaMessaggio of each, one event a
// line; a refusal is an exception.
declare(strict_types=1);

[, $wsdl, $version, $file] = $argv;
$clients = [];
foreach (file($file, FILE_IGNORE_NEW_LINES) as $text) {
    $line = json_decode($text, true, 512, JSON_THROW_ON_ERROR);
    $clients[$line['user']] ??= new SoapClient($wsdl, [
        'soap_version' => $version === 'SOAP12' ? SOAP_1_2 : SOAP_1_1,
        'login' => $line['user'],
        'password' => trim(file_get_contents($line['password_file'])),
        'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
        'cache_wsdl' => WSDL_CACHE_NONE,
    ]);
    $receipt = $clients[$line['user']]->inviaEvento($line['event']);
    echo $receipt->Esito, ' ', $receipt->SaleImpronta, ' ', $receipt->ImprontaMessaggio, "\n";
}
