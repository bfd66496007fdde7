// What viewers built on Cornerstone (such as OHIF) find in a derived object, through their own code.
// Arguments: the folder of npm packages, the kind (segmentation or structures), the object, its source's files.
// It prints one JSON document: marked pixels of each source frame, or the contours of each structure.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, kind, object, ...sources] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, path)).href);
const dcmjs = createRequire(join(modules, 'index.js'))('dcmjs');
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;

const list = (value) => (value === undefined ? [] : [].concat(value));
const numbers = (value) => list(value).map(Number);
const bytes = (path) => {
  const read = readFileSync(path);
  return read.buffer.slice(read.byteOffset, read.byteOffset + read.byteLength);
};
const naturalized = (path) => DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(bytes(path)).dict);

// the attributes of one frame in one place, as viewers keep them
function frameOf(dataset, index) {
  const shared = list(dataset.SharedFunctionalGroupsSequence)[0] ?? {};
  const own = list(dataset.PerFrameFunctionalGroupsSequence)[index] ?? {};
  const group = (name) => list(own[name] ?? shared[name])[0] ?? {};
  const frame = { ...dataset, ...group('PixelMeasuresSequence'), ...group('PlaneOrientationSequence') };
  Object.assign(frame, group('PlanePositionSequence'));
  const offset = numbers(dataset.GridFrameOffsetVector)[index];
  if (offset) {
    const [a, b, c, d, e, f] = numbers(frame.ImageOrientationPatient);
    const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
    frame.ImagePositionPatient = numbers(frame.ImagePositionPatient).map((at, axis) => at + offset * normal[axis]);
  }
  return frame;
}

const frames = new Map();
for (const path of kind === 'structures' ? [] : sources) {
  const dataset = naturalized(path);
  for (let index = 0; index < Number(dataset.NumberOfFrames ?? 1); index += 1) {
    const id = `wadors:/instances/${dataset.SOPInstanceUID}/frames/${index + 1}`;
    frames.set(id, { number: index + 1, header: frameOf(dataset, index) });
  }
}

const MODULES = {
  instance: (header) => header,
  generalImageModule: (header) => ({ sopInstanceUID: header.SOPInstanceUID }),
  generalSeriesModule: (header) => ({ seriesInstanceUID: header.SeriesInstanceUID, modality: header.Modality }),
  imagePixelModule: (header) => ({
    bitsAllocated: header.BitsAllocated,
    bitsStored: header.BitsStored,
    samplesPerPixel: header.SamplesPerPixel,
    highBit: header.HighBit,
    photometricInterpretation: header.PhotometricInterpretation,
    pixelRepresentation: header.PixelRepresentation,
  }),
  imagePlaneModule: (header) => {
    const orientation = numbers(header.ImageOrientationPatient);
    const [down, across] = numbers(header.PixelSpacing);
    return {
      frameOfReferenceUID: header.FrameOfReferenceUID,
      rows: header.Rows,
      columns: header.Columns,
      imageOrientationPatient: orientation,
      rowCosines: orientation.slice(0, 3),
      columnCosines: orientation.slice(3),
      imagePositionPatient: numbers(header.ImagePositionPatient),
      pixelSpacing: [down, across],
      rowPixelSpacing: down,
      columnPixelSpacing: across,
    };
  },
};
const get = (type, id) => {
  const frame = frames.get(id);
  return frame && MODULES[type]?.(frame.header);
};

function marked(images) {
  const found = [];
  for (const image of images) {
    const { number, header } = frames.get(image.referencedImageId);
    const values = image.voxelManager.getScalarData();
    const pixels = [...values.keys()].filter((at) => values[at] !== 0);
    if (pixels.length) {
      const { SOPInstanceUID: instance, Columns: columns } = header;
      found.push({ instance, number, columns, pixels, values: pixels.map((at) => values[at]) });
    }
  }
  return found;
}

async function segmentation() {
  const { metaData } = await load('@cornerstonejs/core/dist/esm/index.js');
  const { adaptersSEG } = await load('@cornerstonejs/adapters/dist/esm/index.js');
  metaData.addProvider(get);
  const { Segmentation } = adaptersSEG.Cornerstone3D;
  const read = await Segmentation.createFromDICOMSegBuffer([...frames.keys()], bytes(object), { metadataProvider: { get } });
  const segments = list(read.segMetadata.data).filter(Boolean);
  return { segments: segments.map((each) => each.SegmentLabel), frames: read.labelMapImages.flatMap(marked) };
}

// adapters writes structure sets and reads none: viewers take them from dcmjs in this way
function structures() {
  const dataset = naturalized(object);
  const named = new Map(list(dataset.StructureSetROISequence).map((roi) => [roi.ROINumber, roi.ROIName]));
  return list(dataset.ROIContourSequence).map((roi) => ({
    name: named.get(roi.ReferencedROINumber),
    color: numbers(roi.ROIDisplayColor),
    contours: list(roi.ContourSequence).map((contour) => ({
      type: contour.ContourGeometricType,
      images: list(contour.ContourImageSequence).map((image) => image.ReferencedSOPInstanceUID),
      points: numbers(contour.ContourData),
    })),
  }));
}

const log = console.log;
console.log = console.info = console.warn = (...said) => console.error(...said);
log(JSON.stringify(await { segmentation, structures }[kind]()));
