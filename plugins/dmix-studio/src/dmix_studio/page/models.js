// What there is to choose from, and a colour for each model.

const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2"];

export class Models {
  constructor(catalogue) {
    this.catalogue = catalogue;
    this.objects = catalogue.models.filter((each) => each.object);
    this.backgrounds = catalogue.models.filter((each) => !each.object);
    this.photographs = [];
  }

  get(id) { return this.catalogue.models.find((each) => each.id === id) ?? this.photographs.find((each) => each.id === id); }
  isPhotograph(id) { return this.photographs.some((each) => each.id === id); }
  colour(id) { return COLOURS[this.objects.findIndex((each) => each.id === id) % COLOURS.length] ?? "#999"; }
  label(id) { return this.get(id)?.label ?? id; }
}
