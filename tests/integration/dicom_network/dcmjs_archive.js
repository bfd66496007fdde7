// An archive in memory, made of dcmjs-dimse: it stores, finds, and sends by C-GET and C-MOVE.
// Arguments: its port, and the AE title and port on this machine that a C-MOVE may go to.
'use strict';
const { Client, Dataset, Scp, Server, constants, requests, responses } = require('dcmjs-dimse');

const [port, destination, destinationPort] = process.argv.slice(2);
const { PresentationContextResult, Status } = constants;
const UNKNOWN_DESTINATION = 0xa801;
const KEYS = { STUDY: 'StudyInstanceUID', SERIES: 'SeriesInstanceUID', IMAGE: 'SOPInstanceUID' };
const MATCHED = ['PatientID', 'Modality', ...Object.values(KEYS)];
const held = new Map();

const text = (value) => (value === undefined || value === null ? '' : String(value));

function matching(query) {
  const wanted = MATCHED.map((name) => [name, [].concat(query[name] ?? []).map(text).filter(Boolean)]);
  return [...held.values()].filter((dataset) =>
    wanted.every(([name, values]) => !values.length || values.includes(text(dataset.getElement(name))))
  );
}

class Archive extends Scp {
  associationRequested(association) {
    this.association = association;
    for (const { id } of association.getPresentationContexts()) {
      const context = association.getPresentationContext(id);
      context.setResult(PresentationContextResult.Accept, context.getTransferSyntaxUids()[0]);
    }
    this.sendAssociationAccept();
  }

  cEchoRequest(request, callback) {
    callback(this.ended(responses.CEchoResponse.fromRequest(request)));
  }

  cStoreRequest(request, callback) {
    const dataset = request.getDataset();
    held.set(text(dataset.getElement('SOPInstanceUID')), dataset);
    callback(this.ended(responses.CStoreResponse.fromRequest(request)));
  }

  cFindRequest(request, callback) {
    const query = request.getDataset().getElements();
    const key = KEYS[query.QueryRetrieveLevel];
    const found = new Map(matching(query).map((dataset) => [text(dataset.getElement(key)), dataset]));
    const answers = [...found.values()].map((dataset) => {
      const told = Object.keys(query).map((name) => [name, dataset.getElement(name) ?? '']);
      const answer = responses.CFindResponse.fromRequest(request);
      answer.setDataset(new Dataset({ ...Object.fromEntries(told), QueryRetrieveLevel: query.QueryRetrieveLevel }));
      answer.setStatus(Status.Pending);
      return answer;
    });
    callback([...answers, this.ended(responses.CFindResponse.fromRequest(request))]);
  }

  cGetRequest(request, callback) {
    const sent = matching(request.getDataset().getElements()).map((dataset) => new requests.CStoreRequest(dataset));
    let left = sent.length;
    const end = () => callback([this.ended(responses.CGetResponse.fromRequest(request))]);
    for (const one of sent) {
      one.on('done', () => {
        left -= 1;
        if (!left) end();
      });
    }
    if (left) this.sendRequests(sent);
    else end();
  }

  cMoveRequest(request, callback) {
    const answer = responses.CMoveResponse.fromRequest(request);
    const called = text(request.getCommandDataset().getElement('MoveDestination')).trim();
    if (called !== destination) {
      answer.setStatus(UNKNOWN_DESTINATION);
      callback([answer]);
      return;
    }
    const client = new Client();
    for (const dataset of matching(request.getDataset().getElements())) {
      client.addRequest(new requests.CStoreRequest(dataset));
    }
    client.on('closed', () => callback([this.ended(answer)]));
    client.send('127.0.0.1', Number(destinationPort), 'DCMJS', called);
  }

  associationReleaseRequested() {
    this.sendAssociationReleaseResponse();
  }

  ended(response) {
    response.setStatus(Status.Success);
    return response;
  }
}

const server = new Server(Archive);
server.on('networkError', () => {});
server.listen(Number(port));
