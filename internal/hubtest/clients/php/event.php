<?php
// The event that the clients of all stacks build, as the arrays that SoapClient takes: dates,
// instants and amounts are strings, an attribute is a member like any other.
declare(strict_types=1);

// uuid is a random one.
function uuid(): string
{
    $bytes = random_bytes(16);
    $bytes[6] = chr(ord($bytes[6]) & 0x0f | 0x40);
    $bytes[8] = chr(ord($bytes[8]) & 0x3f | 0x80);
    return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($bytes), 4));
}

// fotografia is the body of a CARICAMENTO_INIZIALE.
function fotografia(): array
{
    $minore = [
        'MinoreStranieroNoAcc' => '2', 'CondizioneMinore' => '1', 'LuogoVita' => '1', 'ScuolaFrequentata' => '5',
        'CondizioneLavoro' => '1', 'Disabilita' => '2',
    ];
    return [
        'DataRiferimento' => '2024-03-31',
        'PresaInCarico' => [
            'DataPresaInCarico' => '2021-09-24', 'TipoPresaInCarico' => 'SOCIO_SANITARIA', 'MotivoPrevalente' => '7',
            'DatiMinore' => $minore,
        ],
        'Segnalazione' => [
            'IdSegnalazione' => 'SGN-21-0121', 'DataSegnalazione' => '2021-09-10', 'PrimaSegnalazione' => '1',
            'FonteSegnalazione' => '14', 'SegnalazioneAutoritaGiudiziaria' => '1',
            'DataSegnalazioneAutorita' => '2021-09-12',
        ],
        'Valutazione' => [
            'IdValutazione' => 'VLT-24-0008', 'DataValutazione' => '2024-02-15',
            'DatiMinore' => array_merge($minore, [
                'LuogoVita' => '3', 'ScuolaFrequentata' => '6', 'Disabilita' => '1', 'TipoDisabilita' => '3',
                'InvCivCertificazioni' => '5',
            ]),
            'ValutazioneMinore' => ['2', '7'], 'ValutazioneFamigliaMinore' => ['7', '2'],
            'CollaborazioniInterventi' => ['3', '5', '7'],
            'ISEE' => ['NumeroComponentiISEE' => 4, 'FasciaISEEBeneficiario' => '3'],
        ],
        'NucleoFamiliare' => [
            'DataRiferimento' => '2024-02-15', 'ComposizioneFamiglia' => ['1', '2', '3'],
            'Padre' => [
                'CodiceCittadinanza' => '203', 'CodiceRegioneResidenza' => '17', 'TitoloStudio' => '2', 'Occupazione' => '1',
            ],
            'Madre' => ['CodiceCittadinanza' => '380', 'Occupazione' => '4'],
        ],
        'Progetto' => [[
            'IdProgetto' => 'PQ-21-004', 'TipoProgetto' => 'PROGETTO_QUADRO', 'Fase' => 'APERTURA',
            'DataInizio' => '2021-10-15', 'DataFinePrevista' => '2030-05-09',
        ]],
        'ProvvedimentoGiudiziario' => [[
            'IdProvvedimento' => 'TM-22-0019', 'Fase' => 'APERTURA', 'DataProvvedimentoGiudiziario' => '2022-01-09',
            'AutoritaProvvedimento' => '2', 'TipoProvvedimentoGiudiziario' => '4', 'PotestaTutela' => '1',
        ]],
        'Intervento' => [
            [
                'IdIntervento' => 'PR-21-0442', 'Fase' => 'CHIUSURA', 'CodicePrestazione' => 'A1.20',
                'DataInizioPrestazione' => '2021-10-01', 'DataFinePrestazione' => '2022-01-10',
                'Erogatore' => 'TERZO_SETTORE', 'OreServizioMensile' => 12, 'MotivoChiusura' => 'CONCLUSO',
            ],
            [
                'IdIntervento' => 'PR-22-0031', 'Fase' => 'APERTURA', 'CodicePrestazione' => 'A4.02',
                'VoceNomenclatore' => 'D.2', 'IdProgetto' => 'PQ-21-004', 'DataInizioPrestazione' => '2022-02-03',
                'Erogatore' => 'ASL', 'OreServizioMensile' => 4, 'ImportoMensile' => '1250.10',
            ],
        ],
        'Affidamento' => [[
            'IdAffidamento' => 'AF-22-0007', 'Fase' => 'APERTURA', 'DataInizio' => '2022-07-01',
            'FormaInterventoAffido' => '2', 'TipoInterventoAffido' => '2', 'DurataAffido' => '1', 'CarattereAffido' => '1',
            'IdProvvedimento' => 'TM-22-0019',
        ]],
        'InserimentoStruttura' => [[
            'IdInserimento' => 'IS-22-003', 'Fase' => 'CHIUSURA', 'CodiceStrutturaASSO' => 'ASSO-PI-0007',
            'DataIngresso' => '2022-01-13', 'DataDimissione' => '2022-07-01', 'CarattereInserimentoResidenziale' => '10',
            'FormaInserimentoResidenziale' => '2', 'TipoInserimentoResidenziale' => '2',
            'EsitoInserimentoStruttura' => '2', 'IdProvvedimento' => 'TM-22-0019',
        ]],
    ];
}

// newEvent is a whole event with ids of its own.
function newEvent(): array
{
    $id = uuid();
    return [
        'versione' => '1.0',
        'Testata' => [
            'IdMessaggio' => uuid(), 'IdEvento' => $id, 'TipoEvento' => 'CARICAMENTO_INIZIALE', 'TipoOperazione' => 'I',
            'ProgressivoCartella' => 1, 'DataOraEvento' => '2024-04-10T10:00:00+02:00',
            'DataOraInvio' => date(DATE_RFC3339), 'Ambiente' => 'PROD',
        ],
        'Mittente' => [
            'Ente' => [
                'CodiceEnte' => 'SDS-PI', 'CodiceFiscaleEnte' => '80000000010', 'TipoEnte' => 'SDS',
                'Denominazione' => 'Società della Salute dell\'Area "Pisana" & Valdera', 'CodiceZona' => 'Z15',
            ],
            'Applicativo' => ['Fornitore' => 'Alias2k', 'Prodotto' => 'Gesocial', 'Versione' => '5.1'],
            'IdOperatoreLocale' => 'GS:12',
        ],
        'Soggetto' => [
            'IdAssistitoLocale' => 'A-00950-0012',
            'Identificativo' => ['CodiceFiscale' => 'DNGZCL12E49G702K'],
            'Anagrafica' => [
                'Cognome' => 'D\'Angelò Škoda', 'Nome' => 'Zoë Nicolò', 'Sesso' => 'F', 'DataNascita' => '2012-05-09',
                'LuogoNascita' => 'G702', 'CodiceCittadinanza' => '380',
                'Residenza' => [
                    'CodiceNazione' => '380', 'CodiceComune' => '050026', 'CAP' => '56127',
                    'Indirizzo' => 'Via dell\'Esempio 7/A, località Più su <interno 2> €',
                ],
            ],
        ],
        'Cartella' => ['IdCartella' => '2024/' . substr($id, 0, 8), 'DataApertura' => '2021-09-10'],
        'Dettaglio' => ['Fotografia' => fotografia()],
    ];
}
